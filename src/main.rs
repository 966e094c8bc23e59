//! The binary: parses the arguments, runs the command, prints the error.

fn main() {}
