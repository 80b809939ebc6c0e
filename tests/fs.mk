# Tests of fs that need no mount.
