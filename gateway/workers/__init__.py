"""What runs in the background of a cluster, one process of it at a time: giving bytes back."""
