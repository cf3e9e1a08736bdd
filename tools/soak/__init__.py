"""What this project does when everything goes wrong: kills, damaged files, full disks and wrong input."""
