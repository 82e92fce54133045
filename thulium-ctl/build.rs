//! Puts the eBPF object where `datapath::object` embeds it from.

use std::{
    env, fs,
    io::{self, Error},
    path::{Path, PathBuf},
};

fn main() -> io::Result<()> {
    let out: PathBuf = env::var_os("OUT_DIR").ok_or_else(|| Error::other("OUT_DIR is not set"))?.into();
    println!("cargo::rerun-if-env-changed=THULIUM_OBJECT");
    let object = match env::var_os("THULIUM_OBJECT") {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", Path::new(&path).display());
            fs::read(&path).map_err(|error| Error::other(format!("THULIUM_OBJECT {}: {error}", path.display())))?
        }
        None => built_by_xtask(&out)?,
    };
    fs::write(out.join("thulium.o"), object)
}

/// The object that `cargo xtask build` made; empty if it has not.
fn built_by_xtask(out: &Path) -> io::Result<Vec<u8>> {
    // OUT_DIR is <target>/[<triple>/]<profile>/build/<crate>/out: the folder marked as a cache is <target>.
    let Some(target) = out.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()) else {
        return Ok(Vec::new());
    };
    // The folder is watched, not the file: cargo takes a watched file that is missing for changed at every build.
    let folder = target.join("bpf");
    fs::create_dir_all(&folder)?;
    println!("cargo::rerun-if-changed={}", folder.display());
    Ok(fs::read(folder.join("thulium.o")).unwrap_or_default())
}
