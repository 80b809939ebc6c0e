# libmvcc.a
