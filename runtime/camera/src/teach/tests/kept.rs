//! The network's own classes, and what is kept on disk.

use std::collections::BTreeMap;

use foldnet_archive::OutputKind;

use super::*;

/// The files below the folder of images, by the folder's name.
fn kept(place: &Place) -> BTreeMap<String, usize> {
    let folders = std::fs::read_dir(place.path("a.teach.images")).into_iter().flatten().flatten();
    let count = |path: &Path| std::fs::read_dir(path).unwrap().count();
    folders.map(|f| (f.file_name().into_string().unwrap(), count(&f.path()))).collect()
}

fn counts<const N: usize>(counts: [(&str, usize); N]) -> BTreeMap<String, usize> {
    counts.map(|(name, count)| (name.into(), count)).into()
}

#[test]
fn images_follow_their_classes_and_survive_a_restart() {
    let place = Place::new();
    let desk = place.desk();
    desk.teach_images(&class("a/../b"), &pngs(0, 0..8)).unwrap();
    desk.teach_images(&class(".hidden"), &pngs(1, 0..5)).unwrap();
    assert_eq!(kept(&place), counts([("a%2F..%2Fb", 8), ("%2Ehidden", 5)]));
    desk.rename("a/../b", "mug").unwrap();
    desk.remove(".hidden").unwrap();
    assert_eq!(kept(&place), counts([("mug", 8), (".removed", 5)]));
    // Files of others are left alone.
    std::fs::write(place.path("a.teach.images/mug/notes.txt"), "mine").unwrap();
    desk.undo().unwrap();
    assert_eq!(kept(&place), counts([("mug", 9), ("%2Ehidden", 5)]));
    let shown = place.desk().shown().unwrap();
    assert_eq!((shown.classes[0].kept, shown.folder.as_str()), (8, "a.teach.images"));
    assert!((1..=album::THUMBNAILS).contains(&shown.classes[1].thumbnails.len()));
    // A damaged image, and one of another size, are not shown.
    let files = album::images_in(&place.path("a.teach.images/mug"));
    std::fs::write(&files[0], "no image").unwrap();
    std::fs::write(&files[1], png::encode(&[0; 12], [2, 2, 3]).unwrap()).unwrap();
    place.desk().shown().unwrap();
    let pixels = png::read(&files[2], &open(&place.path("net.nnef.tgz")).unwrap().input).unwrap();
    assert_eq!(Some(foldnet_teach::hash_pixels(&pixels)), album::hash_of(&files[2]), "the same bits");
    // Another program removes the class: its images go, too, when that is noticed.
    std::fs::remove_file(place.path("a.teach")).unwrap();
    assert!(names(&desk).is_empty());
    assert_eq!(kept(&place)[".removed"], 13);
}

#[test]
fn what_cannot_be_kept_is_taught_all_the_same() {
    let place = Place::new();
    std::fs::write(place.path("a.teach.images"), "in the way").unwrap();
    let desk = place.desk();
    assert_eq!(desk.teach_images(&class("mug"), &pngs(0, 0..8)).unwrap(), 8);
    let shown = desk.shown().unwrap();
    assert_eq!((names(&desk).len(), shown.classes[0].kept), (1, 0));
    assert!(shown.not_kept.unwrap().contains("a.teach.images"));
}

#[test]
fn the_networks_own_classes_are_mixed_in_and_left_out() {
    let place = Place::new();
    let desk = place.desk();
    refuses(&desk, || desk.teach_images(&Subject::Own, &pngs(1, 0..8)), "no classes");
    refuses(&desk, || desk.mix(true), "no classes");
    refuses(&desk, || desk.set_rate(FalseAlarms::percent(1.0).unwrap()), "no classes");
    desk.teach_images(&class("across"), &pngs(0, 0..12)).unwrap();
    refuses(&desk, || desk.mix(true), "images of them are needed");
    refuses(
        &desk,
        || desk.teach_images(&Subject::Own, &pngs(0, 3..4)),
        "0-3.png: one image is an example of both",
    );
    assert_eq!(desk.teach_images(&Subject::Own, &pngs(1, 0..8)).unwrap(), 8);
    refuses(&desk, || desk.teach_images(&class("down"), &pngs(1, 0..4)), "network's own classes");
    desk.mix(true).unwrap();
    let shown = desk.shown().unwrap();
    assert_eq!((shown.own.mixed, shown.own.images, names(&desk).len()), (true, 8, 1));
    assert!(shown.rate.unwrap().contains("own classes at most about"));
    assert_eq!(place.desk().export().unwrap(), desk.export().unwrap());
    desk.mix(false).unwrap();
    assert!(!desk.shown().unwrap().own.mixed);
    assert_eq!(desk.undo().unwrap(), "leave out the network's own classes");
    assert!(desk.shown().unwrap().own.mixed);
    desk.set_rate(FalseAlarms::percent(20.0).unwrap()).unwrap();
    assert_eq!(desk.shown().unwrap().unknown.unwrap().asked, 0.2);
    assert_eq!(desk.undo().unwrap(), "false alarms 20 %");
    // Scores that are no shares cannot be compared.
    let (network, manifest) = foldnet_archive::read(&place.path("net.nnef.tgz")).unwrap();
    let numbers = foldnet_archive::Manifest { output: Some(OutputKind::Numbers), ..manifest };
    foldnet_archive::write(&place.path("net.nnef.tgz"), &network, &numbers).unwrap();
    std::fs::remove_file(place.path("a.teach")).unwrap();
    desk.teach_images(&class("across"), &pngs(0, 0..12)).unwrap();
    refuses(&desk, || desk.teach_images(&Subject::Own, &pngs(1, 0..8)), "shares of a softmax");
}

#[test]
fn unknown_frames_are_grouped_and_named() {
    let place = Place::new();
    let desk = place.desk();
    assert!(desk.groups().unwrap().is_empty());
    desk.teach_images(&class("across"), &pngs(0, 0..12)).unwrap();
    let folder = place.path("a.teach.images/.unknown");
    std::fs::create_dir_all(&folder).unwrap();
    let put = |kind, n| {
        let pixels = pixels(kind, n);
        let id = album::file_name(foldnet_teach::hash_pixels(&pixels));
        std::fs::write(folder.join(id), png::encode(&pixels, [32, 32, 3]).unwrap()).unwrap();
    };
    (0..6).for_each(|n| put(1, n));
    // A frame that is known by now, and files that are no frames.
    put(0, 3);
    std::fs::write(folder.join("0123456789abcdef.png"), "torn").unwrap();
    std::fs::write(folder.join("holiday.png"), "mine").unwrap();
    let groups = desk.groups().unwrap();
    assert_eq!(groups.iter().map(|g| g.images.len()).collect::<Vec<_>>(), [6]);
    assert!(!groups[0].images[0].thumbnail.is_empty());
    let hashes: Vec<u64> =
        groups[0].images.iter().map(|image| u64::from_str_radix(&image.id, 16).unwrap()).collect();
    let before = desk.unknown_revision();
    refuses(&desk, || desk.teach_unknown(&class("down"), &[]), "no image");
    refuses(&desk, || desk.teach_unknown(&class("down"), &[1, 2]), "no longer kept");
    refuses(&desk, || desk.teach_unknown(&class("down"), &[0x0123_4567_89ab_cdef]), "no longer kept");
    assert_eq!(desk.teach_unknown(&class("down"), &hashes).unwrap(), 6);
    assert!(desk.unknown_revision() > before && desk.groups().unwrap().is_empty());
    assert_eq!(kept(&place), counts([("across", 12), ("down", 6), (".unknown", 3)]));
    desk.forget_unknown(&[0x0123_4567_89ab_cdef, 7]);
    assert_eq!(kept(&place)[".unknown"], 2);
}

#[test]
fn a_frame_of_no_class_is_kept_from_the_camera() {
    let place = Place::new();
    let desk = place.desk();
    desk.teach_images(&class("across"), &pngs(0, 0..12)).unwrap();
    for n in 0..5 {
        desk.see_unknown(&pixels(1, n), [32, 32, 3]);
    }
    let begin = Instant::now();
    while desk.unknown_revision() == 1 {
        assert!(begin.elapsed() < std::time::Duration::from_secs(60), "nothing is kept");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(desk.groups().unwrap()[0].images.len(), 1, "one a second");
}
