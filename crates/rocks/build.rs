//! Links the C++ runtime when RocksDB comes prebuilt.
//!
//! With `ROCKSDB_LIB_DIR` (a folder with `librocksdb.a`) and `ROCKSDB_STATIC` set, librocksdb-sys
//! links that library and does not compile its own, which saves some 20 minutes; but then nothing
//! else asks for the C++ runtime either.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=ROCKSDB_LIB_DIR");
    println!("cargo:rerun-if-env-changed=ROCKSDB_STATIC");
    let prebuilt = std::env::var_os("ROCKSDB_LIB_DIR").is_some();
    if prebuilt && std::env::var_os("ROCKSDB_STATIC").is_some() {
        println!("cargo:rustc-link-lib=dylib=stdc++");
    }
}
