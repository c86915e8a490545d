mod kept;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use foldnet_archive::testing::{manifest_stretched, resnet8};

use super::*;

/// A folder with an archive, and a desk over it that counts the reloads it asks for.
struct Place {
    folder: tempfile::TempDir,
    reloads: Arc<AtomicUsize>,
}

fn open(archive: &Path) -> Result<Pupil, String> {
    let hash = foldnet_teach::hash_archive(archive).map_err(|e| e.to_string())?;
    let (network, manifest) = foldnet_archive::read(archive).map_err(|e| e.to_string())?;
    let metric = Metric::of(&network).map_err(|e| e.to_string())?;
    let session = Session::new(&network, foldnet_kernels::dispatch::best(), 1).map_err(|e| e.to_string())?;
    let scores = foldnet_archive::Scores::new(&manifest, network.activation, network.classes());
    let labels = (0..scores.len()).map(|class| scores.name(&manifest, class)).collect();
    let own = OwnClasses { scores, labels };
    Ok(Pupil { archive: hash, input: manifest.input, session, metric, own })
}

impl Place {
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap(), reloads: Arc::default() };
        place.archive(0.05);
        place
    }

    /// Writes the archive; another scale is another archive.
    fn archive(&self, scale: f32) {
        let mut network = resnet8();
        network.tensors[1].scale = scale;
        let manifest = manifest_stretched(&network);
        foldnet_archive::write(&self.path("net.nnef.tgz"), &network, &manifest).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn desk(&self) -> Desk {
        let reloads = self.reloads.clone();
        Desk::new(&self.path("a.teach"), &self.path("net.nnef.tgz"), open, move || {
            reloads.fetch_add(1, Ordering::Relaxed);
        })
    }
}

fn class(name: &str) -> Subject {
    Subject::Class(name.into())
}

/// Bars across or down, as the network's pixels.
fn pixels(kind: usize, n: usize) -> Vec<u8> {
    let pixel = |i: usize| {
        let (x, y) = (i % 32, i / 32);
        let bar = [y / 4 % 2, x / 4 % 2][kind % 2];
        let level = 40 + 150 * bar + (x * 31 + y * 17 + n * 101) * 40_503 / 7 % 31;
        [level as u8, (level + n % 12) as u8, 90]
    };
    (0..32 * 32).flat_map(pixel).collect()
}

fn png(kind: usize, n: usize) -> (String, Vec<u8>) {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let image = image::RgbImage::from_raw(32, 32, pixels(kind, n)).unwrap();
    image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    (format!("{kind}-{n}.png"), bytes.into_inner())
}

fn pngs(kind: usize, numbers: std::ops::Range<usize>) -> Vec<(String, Vec<u8>)> {
    numbers.map(|n| png(kind, n)).collect()
}

fn names(desk: &Desk) -> Vec<String> {
    desk.shown().unwrap().classes.into_iter().map(|class| class.class).collect()
}

/// What is refused leaves everything as it was.
fn refuses<T: std::fmt::Debug>(desk: &Desk, asked: impl FnOnce() -> Result<T, DeskError>, says: &str) {
    let before = (desk.export().ok(), desk.revision(), desk.shown().unwrap().undo);
    let said = asked().unwrap_err().to_string();
    assert!(said.contains(says), "{said:?} does not say {says:?}");
    assert_eq!((desk.export().ok(), desk.revision(), desk.shown().unwrap().undo), before, "{says}");
}

#[test]
fn classes_are_taught_changed_and_undone() {
    let place = Place::new();
    let desk = place.desk();
    let empty = desk.shown().unwrap();
    assert!(empty.classes.is_empty() && empty.rate.is_none() && empty.file == "a.teach");
    assert_eq!(desk.teach_images(&class("across"), &pngs(0, 0..12)).unwrap(), 12);
    assert_eq!(desk.teach_images(&class("down"), &pngs(1, 0..5)).unwrap(), 5);
    // Again, and some more.
    assert_eq!(desk.teach_images(&class("down"), &pngs(1, 3..12)).unwrap(), 7);
    let shown = desk.shown().unwrap();
    let counts: Vec<_> = shown.classes.iter().map(|c| (c.class.as_str(), c.images, c.recognized)).collect();
    assert_eq!(counts, [("across", 12, Some(12)), ("down", 12, Some(12))]);
    assert!((1..=album::THUMBNAILS).contains(&shown.classes[0].thumbnails.len()));
    assert!(shown.rate.unwrap().contains("called unknown") && shown.warning.is_none());
    // Another desk, as after a restart, knows the same.
    let taught = desk.export().unwrap();
    assert_eq!(place.desk().export().unwrap(), taught);
    assert_eq!(std::fs::read(place.path("a.teach")).unwrap(), taught);
    desk.rename("down", "upright").unwrap();
    assert_eq!(names(&desk), ["across", "upright"]);
    assert!(!desk.shown().unwrap().classes[1].thumbnails.is_empty(), "the small images go along");
    desk.remove("across").unwrap();
    desk.remove("upright").unwrap();
    assert!(names(&desk).is_empty() && !place.path("a.teach").exists());
    assert!(matches!(desk.export(), Err(DeskError::NothingTaught)));
    for (undone, left) in [
        ("remove upright", 1),
        ("remove across", 2),
        ("rename down", 2),
        ("teach down", 2),
        ("teach down", 1),
    ] {
        assert_eq!(desk.undo().unwrap(), undone);
        assert_eq!(names(&desk).len(), left, "{undone}");
    }
    // No more than five.
    refuses(&desk, || desk.undo(), "no change to undo");
    assert_eq!(place.reloads.load(Ordering::Relaxed), 11);
}

#[test]
fn frames_that_were_seen_are_taught() {
    let place = Place::new();
    let desk = place.desk();
    refuses(&desk, || desk.teach_frames(&class("across"), SPAN), "no frame came");
    let fill = |frames: Vec<Vec<u8>>| {
        let mut recent = lock(&desk.recent);
        recent.clear();
        let now = Instant::now();
        frames.iter().for_each(|frame| recent.push(now, frame));
    };
    fill((0..30).map(|n| pixels(0, n)).collect());
    assert_eq!(desk.teach_frames(&class("across"), SPAN).unwrap(), MAX_FRAMES);
    // One frame, and one frame again and again.
    fill(vec![pixels(1, 0)]);
    refuses(&desk, || desk.teach_frames(&class("down"), SPAN), "one example only");
    fill(vec![pixels(1, 0); 7]);
    refuses(&desk, || desk.teach_frames(&class("down"), SPAN), "7 images with the same content");
    // Of another network.
    fill(vec![vec![0; 12]; 3]);
    refuses(&desk, || desk.teach_frames(&class("down"), SPAN), "no frame came");
    desk.see(&pixels(1, 3));
    desk.forget_frames();
    refuses(&desk, || desk.teach_frames(&class("down"), SPAN), "no frame came");
}

#[test]
fn bad_examples_and_names_are_refused() {
    let place = Place::new();
    let desk = place.desk();
    desk.teach_images(&class("across"), &pngs(0, 0..8)).unwrap();
    let teach = |name: &str, images: &[(String, Vec<u8>)]| desk.teach_images(&class(name), images);
    refuses(&desk, || teach("down", &[]), "no image");
    refuses(&desk, || teach("down", &[png(1, 0)]), "one example only");
    refuses(&desk, || teach("down", &[png(1, 0), png(1, 0)]), "same content");
    refuses(
        &desk,
        || teach("down", &[png(1, 0), png(0, 3)]),
        "0-3.png: one image is an example of both \"across\" and \"down\"",
    );
    let torn = ("torn.png".to_owned(), png(1, 2).1[..40].to_vec());
    refuses(&desk, || teach("down", &[png(1, 0), png(1, 1), torn]), "torn.png: ");
    refuses(&desk, || teach("down", &[("x.txt".into(), b"hello".to_vec())]), "x.txt: not an image");
    for (name, says) in [("", "empty"), (" a", "space"), ("unknown", "no class"), ("a\nb", "control")] {
        refuses(&desk, || teach(name, &pngs(1, 0..3)), says);
        refuses(&desk, || desk.rename("across", name), says);
    }
    refuses(&desk, || desk.rename("nobody", "x"), "no class \"nobody\"");
    refuses(&desk, || desk.remove("nobody"), "no class \"nobody\"");
    teach("down", &pngs(1, 0..3)).unwrap();
    refuses(&desk, || desk.rename("down", "across"), "already is a class");
}

#[test]
fn foreign_and_damaged_files_are_refused() {
    let place = Place::new();
    let desk = place.desk();
    desk.teach_images(&class("across"), &pngs(0, 0..8)).unwrap();
    let whole = desk.export().unwrap();
    desk.teach_images(&class("down"), &pngs(1, 0..8)).unwrap();
    refuses(&desk, || desk.import(b"hello"), "not a teaching file");
    refuses(&desk, || desk.import(&whole[..whole.len() / 2]), "damaged");
    refuses(&desk, || desk.import(&[]), "not a teaching file");
    desk.import(&whole).unwrap();
    assert_eq!(names(&desk), ["across"]);
    assert_eq!(desk.undo().unwrap(), "import");
    assert_eq!(names(&desk).len(), 2);
    // Another program changes the file: that is taken over, and what was done before cannot be undone.
    std::fs::write(place.path("a.teach"), &whole).unwrap();
    assert_eq!(names(&desk), ["across"]);
    refuses(&desk, || desk.undo(), "no change to undo");
    std::fs::write(place.path("a.teach"), b"not ours").unwrap();
    assert!(desk.shown().unwrap_err().to_string().contains("a.teach: not a teaching file"));
    assert!(matches!(desk.remove("across"), Err(DeskError::Read(_))));
    assert_eq!(std::fs::read(place.path("a.teach")).unwrap(), b"not ours", "nothing of it is lost");
    // The archive is made anew.
    std::fs::write(place.path("a.teach"), &whole).unwrap();
    place.archive(0.06);
    refuses(&desk, || desk.remove("across"), "another archive");
    refuses(&desk, || desk.teach_images(&class("down"), &pngs(1, 0..8)), "another archive");
    refuses(&desk, || desk.import(&whole), "the uploaded file: it was taught with another archive");
    std::fs::remove_file(place.path("a.teach")).unwrap();
    desk.teach_images(&class("down"), &pngs(1, 0..8)).unwrap();
    std::fs::remove_file(place.path("net.nnef.tgz")).unwrap();
    refuses(&desk, || desk.remove("down"), "net.nnef.tgz");
}

#[test]
fn a_file_that_cannot_be_written_changes_nothing() {
    let place = Place::new();
    let folder = place.path("gone");
    std::fs::create_dir(&folder).unwrap();
    let desk = Desk::new(&folder.join("a.teach"), &place.path("net.nnef.tgz"), open, || {});
    std::fs::remove_dir(&folder).unwrap();
    refuses(&desk, || desk.teach_images(&class("across"), &pngs(0, 0..8)), "nothing is changed");
    std::fs::create_dir(&folder).unwrap();
    desk.teach_images(&class("across"), &pngs(0, 0..8)).unwrap();
    assert_eq!(names(&desk), ["across"]);
}
