//! Lets the linker fold functions with the same machine code: generic code makes many, and half a megabyte is theirs.
//! Only where the toolchain's own linker is used by default, which knows the option.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    if is("PROFILE", "release") && is("TARGET", "x86_64-unknown-linux-gnu") {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
