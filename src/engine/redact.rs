//! Secrets out of anything that leaves.
