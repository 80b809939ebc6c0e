# libfs.a
