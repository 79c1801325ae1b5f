//! Milvus: the full server in one process, and the two Lite engines.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Command, time::Duration};

use anyhow::{Context as _, Result};

use super::{Kitchen, Recipe, local};
use crate::{
    services::{
        health::Probe,
        packages::{self, Machine, Python, Wheel},
        say,
    },
    workspace,
};

/// Milvus 2.3.5 with an embedded etcd.
pub(super) const STANDALONE: Wheel = Wheel {
    name: "milvus",
    version: "2.3.5",
    files: &[(Machine::LinuxX86_64, "69515a0630ce29fd10e101fa442afea8ca1387b93a456cd9bd41fdf3deb93d04")],
};

/// Milvus Lite in C++.
pub(super) const LITE: Wheel = Wheel {
    name: "milvus-lite",
    version: "2.5.1",
    files: &[(Machine::LinuxX86_64, "25ce13f4b8d46876dd2b7ac8563d7d8306da7ff3999bb0d14b116b30f71d706c")],
};

/// The full server.
pub(super) fn standalone(kitchen: &mut Kitchen<'_>) -> Result<Recipe> {
    const SCRIPT: &str = "services/milvus/standalone.py";
    let python = Python::find()?;
    let wheel = packages::wheel(kitchen.folders, &python, &STANDALONE)?;
    let script = workspace::root().join(SCRIPT);
    let source = fs::read_to_string(&script).with_context(|| format!("reading {SCRIPT}"))?;
    // The wheel holds the server compressed; unpacking takes a while and is done once.
    let name = format!("milvus-{}-server", STANDALONE.version);
    let server = packages::once(kitchen.folders, &name, &source, |folder| {
        let mut unpack = Command::new(&python.program);
        unpack.env("PYTHONPATH", &wheel).arg(&script).arg("unpack").arg(folder);
        packages::build(&unpack, &folder.join(".log"))
    })?;
    let (grpc, metrics) = (kitchen.ports.take()?, kitchen.ports.take()?);
    // The parts of the server talk over ports too; the script hands them out in the order of its own table.
    let inner: Vec<String> =
        (0..10).map(|_| kitchen.ports.take().map(|port| port.to_string())).collect::<Result<_>>()?;
    let data = kitchen.data.display().to_string();
    let mut arguments = vec![script.display().to_string(), "run".to_owned()];
    arguments.extend([server.display().to_string(), data, grpc.to_string(), metrics.to_string()]);
    arguments.extend(inner);
    let launch = kitchen.python("", &python, wheel, arguments)?;
    // Milvus 2.3.5 binds every port to all addresses, and no setting of it says otherwise.
    say("milvus listens on all addresses of this machine, without a password; --provider docker does not");
    let health = Probe::Http { address: local(metrics), path: "/healthz".to_owned() };
    let greets = Probe::Grpc { address: local(grpc) };
    let mut recipe = Recipe::new(vec![launch], vec![health, greets], vec![format!("http://{}", local(grpc))]);
    recipe.patience = Duration::from_secs(240);
    Ok(recipe)
}

/// Milvus Lite in C++.
pub(super) fn lite(kitchen: &mut Kitchen<'_>) -> Result<Recipe> {
    let wheel = packages::wheel(kitchen.folders, &Python::find()?, &LITE)?;
    let folder = wheel.join("milvus_lite/lib");
    let program = folder.join("milvus");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .context("making milvus-lite a program")?;
    let address = local(kitchen.ports.take()?);
    let arguments = vec!["lite.db".to_owned(), address.clone(), "ERROR".to_owned()];
    let mut launch = kitchen.launch("", program, arguments)?;
    launch.environment.insert("LD_LIBRARY_PATH".to_owned(), folder.display().to_string());
    let url = format!("http://{address}");
    Ok(Recipe::new(vec![launch], vec![Probe::Grpc { address }], vec![url]))
}

/// Milvus Lite in Python.
pub(super) fn lite_in_python(kitchen: &mut Kitchen<'_>) -> Result<Recipe> {
    let python = Python::find()?;
    let library = packages::service_library(kitchen.folders, &python, "milvus-lite")?;
    let port = kitchen.ports.take()?;
    let script = "import sys; from milvus_lite.cmdline import main; sys.exit(main())";
    let arguments = ["-c", script, "server", "--data-dir", "data", "--host", "127.0.0.1", "--port"];
    let arguments = arguments.into_iter().map(str::to_owned).chain([port.to_string()]).collect();
    let launch = kitchen.python("", &python, library, arguments)?;
    let probe = Probe::Grpc { address: local(port) };
    Ok(Recipe::new(vec![launch], vec![probe], vec![format!("http://{}", local(port))]))
}
