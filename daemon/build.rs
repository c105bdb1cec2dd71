//! Tells cargo that the embedded migrations and the page are part of the source.

fn main() {
    // Without this line a new file would not be embedded until the Rust source changes too.
    println!("cargo::rerun-if-changed=../migrations");
    println!("cargo::rerun-if-changed=../web");
}
