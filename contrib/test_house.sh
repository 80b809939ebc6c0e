#!/bin/sh
# The house is in order: what "make tidy" says about this source folder.
exec sh "$SRCDIR/contrib/tidy" "$SRCDIR"
