"""What `install_into_coop.sh` does to a checkout of CoOp, or of a code base made from it. Needs no package."""
