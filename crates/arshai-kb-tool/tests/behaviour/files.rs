//! Ingestion of files and folders: what is read, what is left out, what is removed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::support::{Watched, base, sources, stored};
use arshai_kb_tool::{FileOptions, IngestReport, KnowledgeBase, SkipReason};
use tempfile::TempDir;

struct Folder {
    dir: TempDir,
    store: Watched,
}

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap(), store: Watched::default() };
        files.iter().for_each(|(path, text)| this.write(path, text.as_bytes()));
        this
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn base(&self) -> KnowledgeBase {
        base(&self.store)
    }

    async fn ingest(&self, paths: &[&str]) -> IngestReport {
        self.ingest_with(paths, FileOptions::default()).await
    }

    async fn ingest_with(&self, paths: &[&str], options: FileOptions) -> IngestReport {
        let paths: Vec<PathBuf> = paths.iter().map(|path| self.path(path)).collect();
        self.base().ingest_paths(&paths, options, &()).await.unwrap()
    }

    /// The stored sources, below the temporary folder.
    async fn sources(&self) -> Vec<String> {
        sources(&self.store).await.iter().map(|source| self.short(source)).collect()
    }

    fn short(&self, source: &str) -> String {
        let prefix = format!("{}/", self.dir.path().display());
        source.strip_prefix(&prefix).unwrap_or(source).to_owned()
    }

    fn skipped(&self, report: &IngestReport, reason: SkipReason) -> Vec<String> {
        let mut paths: Vec<String> = report
            .skipped_paths
            .iter()
            .filter(|(other, _)| *other == reason)
            .map(|(_, path)| self.short(path))
            .collect();
        paths.sort();
        paths
    }
}

#[tokio::test]
async fn every_kind_of_left_out_file_is_counted_once() {
    let folder = Folder::new(&[
        ("d/a.md", "# A\n\nWords."),
        ("d/b.TXT", "Words."),
        ("d/c.rst", "Words."),
        ("d/e.html", "<p>Words.</p>"),
        ("d/empty.md", " \n"),
        ("d/data.csv", "1,2"),
        ("d/.hidden/one.md", "x"),
        ("d/.hidden/two.md", "x"),
        ("d/.secret.md", "x"),
        ("d/.gitignore", "build/\n*.log.md\n!keep.log.md\n"),
        ("d/build/x.md", "x"),
        ("d/build/y.md", "x"),
        ("d/z.log.md", "x"),
        ("d/keep.log.md", "Kept."),
        ("d/sub/.gitignore", "/only-here.md\n!z.log.md\n"),
        ("d/sub/only-here.md", "x"),
        ("d/sub/deep/only-here.md", "Words."),
        ("d/sub/z.log.md", "Words."),
    ]);
    folder.write("d/image.png", b"\x89PNG\r\n\x1a\n");
    folder.write("d/nul.txt", b"a\0b");
    let report = folder.ingest(&["d"]).await;
    assert_eq!(
        folder.skipped(&report, SkipReason::Hidden),
        ["d/.gitignore", "d/.hidden", "d/.secret.md", "d/sub/.gitignore"]
    );
    assert_eq!(folder.skipped(&report, SkipReason::Ignored), ["d/build", "d/sub/only-here.md", "d/z.log.md"]);
    assert_eq!(folder.skipped(&report, SkipReason::Binary), ["d/image.png", "d/nul.txt"]);
    assert_eq!(folder.skipped(&report, SkipReason::Empty), ["d/empty.md"]);
    assert_eq!(folder.skipped(&report, SkipReason::Unsupported), ["d/data.csv"]);
    let counts = &report.skipped;
    assert_eq!(
        [counts.hidden, counts.ignored, counts.binary, counts.empty, counts.unsupported],
        [4, 3, 2, 1, 1]
    );
    assert_eq!(
        folder.sources().await,
        [
            "d/a.md",
            "d/b.TXT",
            "d/c.rst",
            "d/e.html",
            "d/keep.log.md",
            "d/sub/deep/only-here.md",
            "d/sub/z.log.md"
        ]
    );
    assert!(report.is_complete());
}

#[tokio::test]
async fn hidden_files_are_read_when_asked_for_but_git_s_never() {
    let folder = Folder::new(&[("d/.h/a.md", "Words."), ("d/.git/b.md", "Words.")]);
    let report = folder.ingest_with(&["d"], FileOptions::default().with_hidden(true)).await;
    assert_eq!(folder.sources().await, ["d/.h/a.md"]);
    assert_eq!(report.skipped.hidden, 1);
}

#[tokio::test]
async fn rules_do_not_apply_to_a_given_path_nor_come_from_above_it() {
    let folder = Folder::new(&[
        (".gitignore", "*.md\nd\n"),
        (".d/a.md", "Words."),
        (".d/notes", "Named text."),
        (".e.md", "Words."),
    ]);
    let report = folder.ingest(&[".d", ".e.md", ".d/notes"]).await;
    assert_eq!(folder.sources().await, [".d/a.md", ".d/notes", ".e.md"]);
    assert_eq!((report.documents, report.skipped.ignored, report.skipped.hidden), (3, 0, 0));
}

#[tokio::test]
async fn bad_files_fail_alone_and_say_why() {
    let folder = Folder::new(&[("d/a.md", "Words."), ("d/large.txt", &"x ".repeat(600))]);
    folder.write("d/latin.txt", b"caf\xe9");
    let report = folder.ingest_with(&["d", "nowhere"], FileOptions::default().with_max_bytes(1_000)).await;
    let failed: Vec<(String, &str)> =
        report.failed.iter().map(|failure| (folder.short(&failure.source), failure.error.as_str())).collect();
    assert_eq!(failed.len(), 3, "{failed:?}");
    assert!(failed[0].0 == "d/large.txt" && failed[0].1.contains("larger than 1000 bytes"), "{failed:?}");
    assert!(failed[1].0 == "d/latin.txt" && failed[1].1.contains("not UTF-8"), "{failed:?}");
    assert!(failed[2].0 == "nowhere" && failed[2].1.contains("not_found"), "{failed:?}");
    assert!(report.failed.iter().all(|failure| !failure.retryable));
    assert_eq!(folder.sources().await, ["d/a.md"]);
}

#[tokio::test]
async fn a_file_over_the_default_limit_is_not_read() {
    let folder = Folder::new(&[("d/a.md", "Words.")]);
    // Sparse: takes no room on the disk.
    fs::write(folder.path("d/huge.txt"), "words ".repeat(2_000)).unwrap();
    fs::File::options().write(true).open(folder.path("d/huge.txt")).unwrap().set_len(200 << 20).unwrap();
    let report = folder.ingest(&["d"]).await;
    assert_eq!(report.documents, 1);
    assert!(report.failed[0].error.contains("larger than 64 MiB"), "{:?}", report.failed);
}

#[tokio::test]
async fn a_large_binary_file_is_binary_and_not_failed() {
    let folder = Folder::new(&[("d/a.md", "Words.")]);
    fs::File::create(folder.path("d/huge.txt")).unwrap().set_len(200 << 20).unwrap();
    let report = folder.ingest(&["d"]).await;
    assert_eq!((report.skipped.binary, report.failed.len()), (1, 0));
}

#[tokio::test]
async fn a_path_that_climbs_out_of_a_folder_is_not_below_it() {
    let files =
        [("docs/1.md", "One."), ("docs/2.md", "Two."), ("docs/3.md", "Three."), ("other/o.md", "Other.")];
    let folder = Folder::new(&files);
    folder.ingest(&["docs/../other"]).await;
    for _ in 0..2 {
        assert_eq!(folder.ingest(&["docs"]).await.removed, 0);
    }
    assert!(folder.sources().await.contains(&"docs/../other/o.md".to_owned()));
}

#[tokio::test]
async fn a_file_named_itself_is_not_gone_because_it_is_hidden_or_ignored() {
    let files = [
        ("d/.gitignore", "priv\n"),
        ("d/1.md", "One."),
        ("d/2.md", "Two."),
        ("d/3.md", "Three."),
        ("d/priv/p.md", "P."),
    ];
    let folder = Folder::new(&files);
    folder.ingest(&["d", "d/priv/p.md"]).await;
    assert_eq!(folder.ingest(&["d"]).await.removed, 0);
    assert!(folder.sources().await.contains(&"d/priv/p.md".to_owned()));
}

#[tokio::test]
async fn a_link_does_not_lead_around_the_rule_for_hidden_files() {
    let folder = Folder::new(&[("d/a.md", "Words."), ("d/.priv/k.md", "Secret.")]);
    std::os::unix::fs::symlink(".priv/k.md", folder.path("d/pub.md")).unwrap();
    folder.ingest(&["d"]).await;
    assert_eq!(folder.sources().await, ["d/a.md"]);
}

#[tokio::test]
async fn a_byte_order_mark_is_no_text() {
    let folder = Folder::new(&[("a.txt", "\u{feff}Words.")]);
    folder.ingest(&["a.txt"]).await;
    assert_eq!(stored(&folder.store).await.values().next().unwrap().0, "Words.");
}

#[tokio::test]
async fn a_file_that_is_gone_is_removed_and_others_stay() {
    let folder = Folder::new(&[
        ("d/a.md", "Words."),
        ("d/b.md", "Words."),
        ("d/c.md", "Words."),
        ("d2/x.md", "Words."),
        ("e/y.md", "Words."),
    ]);
    folder.ingest(&["d", "d2", "e"]).await;
    fs::remove_file(folder.path("d/b.md")).unwrap();
    fs::remove_file(folder.path("e/y.md")).unwrap();
    let report = folder.ingest(&["d"]).await;
    assert_eq!((report.removed, report.unchanged), (1, 2));
    assert_eq!(folder.sources().await, ["d/a.md", "d/c.md", "d2/x.md", "e/y.md"]);
}

#[tokio::test]
async fn an_unmounted_folder_removes_nothing_unless_told_to() {
    let folder = Folder::new(&[("d/a.md", "Words."), ("d/b.md", "Words.")]);
    folder.ingest(&["d"]).await;
    fs::remove_file(folder.path("d/a.md")).unwrap();
    fs::remove_file(folder.path("d/b.md")).unwrap();
    let report = folder.ingest(&["d"]).await;
    assert_eq!((report.removed, report.notes.len()), (0, 1), "{:?}", report.notes);
    assert!(report.notes[0].contains("2 of 2"), "{:?}", report.notes);
    assert_eq!(folder.sources().await.len(), 2);
    let report = folder.ingest_with(&["d"], FileOptions::default().with_prune(true)).await;
    assert_eq!(report.removed, 2);
    assert_eq!(folder.sources().await, Vec::<String>::new());
}

#[tokio::test]
async fn exactly_half_may_go_without_prune() {
    let folder = Folder::new(&[("d/a.md", "Words."), ("d/b.md", "Words.")]);
    folder.ingest(&["d"]).await;
    fs::remove_file(folder.path("d/a.md")).unwrap();
    assert_eq!(folder.ingest(&["d"]).await.removed, 1);
}

#[tokio::test]
async fn a_folder_that_does_not_exist_removes_nothing() {
    let folder = Folder::new(&[("d/a.md", "Words."), ("d/b.md", "Words."), ("d/c.md", "Words.")]);
    folder.ingest(&["d"]).await;
    fs::remove_dir_all(folder.path("d")).unwrap();
    let report = folder.ingest_with(&["d"], FileOptions::default().with_prune(true)).await;
    assert_eq!((report.removed, report.failed.len()), (0, 1));
    assert_eq!(folder.sources().await.len(), 3);
}

#[tokio::test]
async fn documents_of_programs_are_not_gone_files() {
    let folder = Folder::new(&[("d/a.md", "Words."), ("d/b.md", "Words."), ("d/c.md", "Words.")]);
    let note = format!("{}/d/note", folder.dir.path().display());
    folder.base().ingest_documents([arshai_kb_tool::Document::new(note, "A note.")], &()).await.unwrap();
    let report = folder.ingest_with(&["d"], FileOptions::default().with_prune(true)).await;
    assert_eq!(report.removed, 0);
    assert_eq!(folder.sources().await.len(), 4);
}

#[tokio::test]
async fn overlapping_paths_are_one() {
    let folder = Folder::new(&[("d/a.md", "Words."), ("d/s/b.md", "Words."), ("d/s/c", "Named.")]);
    let report = folder.ingest(&["d", "d/s", "d/./s/", "d/s/c", "d/a.md"]).await;
    assert_eq!((report.documents, report.failed.len()), (3, 0));
    fs::remove_file(folder.path("d/s/b.md")).unwrap();
    let report = folder.ingest(&["d", "d/s", "d/s/c"]).await;
    assert_eq!(report.removed + u64::from(!report.notes.is_empty()), 1, "{report:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn links_that_leave_the_folder_are_not_followed() {
    use std::os::unix::fs::symlink;
    let folder = Folder::new(&[("d/a.md", "Words."), ("out/secret.md", "Secret."), ("d/s/x.md", "Words.")]);
    symlink(folder.path("out"), folder.path("d/out")).unwrap();
    symlink(folder.path("out/secret.md"), folder.path("d/secret.md")).unwrap();
    symlink(folder.path("d/a.md"), folder.path("d/alias.md")).unwrap();
    symlink(folder.path("d"), folder.path("d/s/loop")).unwrap();
    symlink(folder.path("nowhere"), folder.path("d/dead.md")).unwrap();
    let report = folder.ingest(&["d"]).await;
    assert_eq!(folder.sources().await, ["d/a.md", "d/alias.md", "d/s/x.md"]);
    assert!(report.is_complete());
    assert_eq!(report.notes.len(), 2, "{:?}", report.notes);
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_is_left_out_and_does_not_block() {
    let folder = Folder::new(&[("d/a.md", "Words.")]);
    let _socket = std::os::unix::net::UnixListener::bind(folder.path("d/socket.md")).unwrap();
    let report = folder.ingest(&["d", "d/socket.md"]).await;
    assert_eq!((report.documents, report.skipped.unsupported, report.failed.len()), (1, 1, 1));
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_without_permission_fails_and_the_rest_goes_on() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new(&[("d/a.md", "Words."), ("d/locked/b.md", "Words."), ("d/c.md", "Words.")]);
    folder.ingest(&["d"]).await;
    fs::remove_file(folder.path("d/c.md")).unwrap();
    let lock = |mode| fs::set_permissions(folder.path("d/locked"), fs::Permissions::from_mode(mode)).unwrap();
    lock(0o000);
    let is_root = fs::read_dir(folder.path("d/locked")).is_ok();
    let report = folder.ingest(&["d"]).await;
    lock(0o755);
    assert_eq!(report.documents, if is_root { 2 } else { 1 });
    if !is_root {
        assert_eq!(folder.short(&report.failed[0].source), "d/locked");
        assert_eq!(report.removed, 0, "nothing is removed below a folder that was not listed completely");
        assert_eq!(folder.sources().await.len(), 3);
    }
}

#[tokio::test]
async fn spellings_of_one_folder_are_one_source() {
    let folder = Folder::new(&[("d/a.md", "Words.")]);
    folder.ingest(&["d"]).await;
    let report = folder.ingest(&["./d/.", "d//"]).await;
    assert_eq!((report.documents, report.unchanged), (1, 1));
    assert!(Path::new(&sources(&folder.store).await[0]).is_absolute());
}
