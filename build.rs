//! Rebuilds when a migration or an asset changes: both are read at compile time.

fn main() {
    for folder in ["migrations", "templates", "static"] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
