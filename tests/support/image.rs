//! An image as an OCI layout on disk for skopeo, and skopeo itself.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::{Output, program, run};

/// Returns the SHA-256 of each file, calculated by coreutils.
fn sha256(files: &[PathBuf]) -> Vec<String> {
    let mut command = Command::new(program("sha256sum", "coreutils"));
    command.args(files);
    let output = run(command);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output.stdout.lines().map(|line| line[..64].to_owned()).collect()
}

/// Returns a tar archive of one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut field = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    field(0, name);
    field(100, "0000644\0");
    field(108, "0000000\0");
    field(116, "0000000\0");
    field(124, &format!("{:011o}\0", content.len()));
    field(136, "00000000000\0");
    field(148, "        ");
    field(156, "0");
    field(257, "ustar\0");
    field(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = content.len().next_multiple_of(512) - content.len();
    // Two empty blocks mark the end of the archive.
    [&header[..], content, &vec![0; padding + 1024]].concat()
}

/// Writes blobs under their digests, and returns the digest and the size of each.
fn store(blobs: &Path, contents: &[Vec<u8>]) -> Vec<(String, usize)> {
    let files: Vec<PathBuf> = (0..contents.len()).map(|number| blobs.join(format!("new{number}"))).collect();
    for (file, content) in files.iter().zip(contents) {
        fs::write(file, content).unwrap();
    }
    let digests = sha256(&files);
    for (file, digest) in files.iter().zip(&digests) {
        fs::rename(file, blobs.join(digest)).unwrap();
    }
    digests.into_iter().zip(contents.iter().map(Vec::len)).collect()
}

/// Creates an image of `layers` different layers in `dir`, and returns the digest of its manifest.
pub(crate) fn make(dir: &Path, layers: usize) -> String {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let content = |number: usize| format!("layer {number}\n").repeat(500);
    let tars: Vec<Vec<u8>> =
        (0..layers).map(|number| tar(&format!("file{number}"), content(number).as_bytes())).collect();
    let stored = store(&blobs, &tars);
    let list =
        |render: &dyn Fn(&(String, usize)) -> String| stored.iter().map(render).collect::<Vec<_>>().join(",");
    let ids = list(&|(digest, _)| format!("\"sha256:{digest}\""));
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":[{ids}]}}}}"#
    );
    let (config, config_size) = store(&blobs, &[config.into_bytes()]).remove(0);
    let oci = "application/vnd.oci.image";
    let descriptors = list(&|(digest, size)| {
        format!(r#"{{"mediaType":"{oci}.layer.v1.tar","digest":"sha256:{digest}","size":{size}}}"#)
    });
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{oci}.manifest.v1+json","config":{{"mediaType":"{oci}.config.v1+json","digest":"sha256:{config}","size":{config_size}}},"layers":[{descriptors}]}}"#
    );
    let (manifest, size) = store(&blobs, &[manifest.into_bytes()]).remove(0);
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"{oci}.manifest.v1+json","digest":"sha256:{manifest}","size":{size},"annotations":{{"org.opencontainers.image.ref.name":"one"}}}}]}}"#
    );
    fs::write(dir.join("index.json"), index).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    manifest
}

/// Runs skopeo with all its files in `home` and without the policy of the machine.
pub(crate) fn skopeo(home: &Path, arguments: &[impl AsRef<OsStr>]) -> Output {
    let mut command = Command::new(program("skopeo", "skopeo"));
    command.args(["--insecure-policy", "--override-os", "linux"]).args(arguments);
    for name in ["HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"] {
        command.env(name, home);
    }
    command.env("REGISTRY_AUTH_FILE", home.join("auth.json"));
    run(command)
}
