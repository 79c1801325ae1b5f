//! `cargo xtask codegen`: the messages of `proto/`, as Rust, beside the crate that uses them.
//!
//! Nothing at build time needs a protobuf compiler: what this writes is checked in, and `--check` proves it fresh.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use crate::workspace;

const INTO: &str = "crates/arshai-milvus/src/generated";

/// Writes the generated files, or only fails when one of them differs.
pub(crate) fn run(check: bool) -> Result<()> {
    let folder = workspace::root().join(INTO);
    let fresh = generate()?;
    let standing = read(&folder)?;
    let differing: Vec<&String> =
        fresh.keys().chain(standing.keys()).filter(|name| fresh.get(*name) != standing.get(*name)).collect();
    if check {
        ensure!(
            differing.is_empty(),
            "{INTO} is not what proto/ says ({differing:?}); write it with `cargo xtask codegen`"
        );
        return Ok(());
    }
    fs::create_dir_all(&folder).with_context(|| format!("creating {INTO}"))?;
    for (name, text) in &fresh {
        fs::write(folder.join(name), text).with_context(|| format!("writing {INTO}/{name}"))?;
    }
    for name in standing.keys().filter(|name| !fresh.contains_key(*name)) {
        fs::remove_file(folder.join(name)).with_context(|| format!("removing {INTO}/{name}"))?;
    }
    println!("codegen: {} files in {INTO}", fresh.len());
    Ok(())
}

/// File name and text of every package.
fn generate() -> Result<BTreeMap<String, String>> {
    let proto = workspace::root().join("proto");
    let files = protox::compile(["milvus.proto"], [&proto]).context("proto/milvus.proto")?;
    let out = tempfile::tempdir()?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_server(false)
        .bytes(".")
        .out_dir(out.path())
        .compile_fds(files)
        .context("writing Rust for proto/")?;
    read(out.path())
}

fn read(folder: &Path) -> Result<BTreeMap<String, String>> {
    let mut texts = BTreeMap::new();
    if folder.exists() {
        for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".rs") {
                let text = fs::read_to_string(&path).with_context(|| format!("reading {name}"))?;
                texts.insert(name, text);
            }
        }
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_checked_in_is_what_proto_says() {
        run(true).unwrap();
    }
}
