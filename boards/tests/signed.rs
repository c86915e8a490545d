//! Boards that trust a key take only what is signed with it.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Bench, Outcome, installed};
use foldnet_sign::sign;

fn keygen(name: &Path) {
    let mut boards = Command::new(env!("CARGO_BIN_EXE_boards"));
    boards.args(["--json", "keygen", "--no-password"]).arg(name);
    Outcome::of(boards).done();
}

fn signed(archive: &Path, key: &Path) {
    let text = sign(key, &fs::read(archive).unwrap(), "file").unwrap();
    fs::write(archive.with_added_extension("minisig"), text).unwrap();
}

#[test]
fn unsigned_and_changed_archives_are_refused() {
    let Some(bench) = Bench::start() else { return };
    let [key, other] = ["fleet", "other"].map(|name| bench.at(&format!("keys-{name}")));
    keygen(&key);
    keygen(&other);
    let secret = |name: &Path| name.with_added_extension("key");
    let flash = |archive: &Path| bench.flash("board", archive, &["--no-service"]);
    let one = bench.archive("good", 1);
    flash(&one).done();
    let public = key.with_added_extension("pub");
    let nonsense = Outcome::of(bench.boards("trust", "board", &[secret(&key).to_str().unwrap()]));
    assert_eq!(nonsense.error(), "request");
    let trust = Outcome::of(bench.boards("trust", "board", &[public.to_str().unwrap()]));
    assert_eq!(trust.done()["signed_only"], true);

    let two = bench.archive("good", 2);
    assert_eq!(flash(&two).error(), "signature", "unsigned");
    signed(&two, &secret(&other));
    assert_eq!(flash(&two).error(), "signature", "another's key");
    signed(&one, &secret(&key));
    fs::copy(one.with_added_extension("minisig"), two.with_added_extension("minisig")).unwrap();
    assert_eq!(flash(&two).error(), "signature", "another archive's signature");
    fs::write(two.with_added_extension("minisig"), "nonsense").unwrap();
    assert_eq!(flash(&two).error(), "signature", "no signature");
    assert_eq!(installed(&bench.at("board")), "good variant 1 c d");
    // The release before is no way around it either.
    signed(&two, &secret(&key));
    flash(&two).done();
    assert_eq!(installed(&bench.at("board")), "good variant 2 c d");
    assert_eq!(Outcome::of(bench.boards("rollback", "board", &[])).error(), "signature");
    assert_eq!(installed(&bench.at("board")), "good variant 2 c d");
    // A damaged key closes the board; it does not open it.
    for entry in fs::read_dir(bench.at("board/keys")).unwrap().flatten() {
        fs::write(entry.path(), "damaged").unwrap();
    }
    let three = bench.archive("good", 3);
    signed(&three, &secret(&key));
    assert_eq!(flash(&three).error(), "signature");
}
