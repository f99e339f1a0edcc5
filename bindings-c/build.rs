//! Gives the shared library its soname: the major version, or the minor one before 1.0.

fn main() {
    println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libmoorline.so.0");
    println!("cargo:rerun-if-changed=build.rs");
}
