# libwal.a
