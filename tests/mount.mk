# Tests through a real mount.
