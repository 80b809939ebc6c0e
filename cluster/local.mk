# libcluster.a
