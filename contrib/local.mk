# Helper scripts: setting up, checking the house.
EXTRA_DIST += contrib/check contrib/lib.sh contrib/run
