"""Installing the KDPL trainers into a checkout of CoOp or a code base derived from it; needs no packages."""
