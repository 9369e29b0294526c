"""Measurements that anyone can run again, each against a peer in the same run."""
