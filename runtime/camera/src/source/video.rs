//! What a file or a stream is, told by its first bytes, so that what cannot be read is named together with
//! the command that makes it readable.

/// As many bytes are looked at.
pub const PREFIX: usize = 512;

/// What begins with these bytes and is video that we do not decode.
pub fn kind(start: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| start.get(offset..).is_some_and(|rest| rest.starts_with(magic));
    Some(match start {
        _ if at(4, b"ftypavif") || at(4, b"ftypheic") || at(4, b"ftypmif1") => return None,
        _ if at(4, b"ftyp") || at(4, b"moov") || at(4, b"mdat") => "MP4 or QuickTime video",
        _ if at(0, b"\x1a\x45\xdf\xa3") => "Matroska or WebM video",
        _ if at(0, b"RIFF") && at(8, b"AVI ") => "AVI video",
        _ if at(0, b"FLV\x01") => "Flash video",
        _ if at(0, b"OggS") => "Ogg video",
        _ if at(0, b"\x00\x00\x01\xba") || at(0, b"\x00\x00\x01\xb3") => "MPEG video",
        _ if at(0, b"\x47") && at(188, b"\x47") => "an MPEG transport stream",
        _ if at(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11") => "Windows Media video",
        _ if at(0, b"DKIF") => "IVF video",
        _ if at(0, b"\x00\x00\x00\x01") || at(0, b"\x00\x00\x01") => "H.264 or H.265 video",
        _ => return None,
    })
}

/// The command that reads such an input, whose login it does not show.
pub fn advice(input: &str) -> String {
    let (tcp, input) = match input.split_once("://") {
        Some((scheme, _)) => {
            let tcp = if scheme.starts_with("rtsp") { "-rtsp_transport tcp " } else { "" };
            (tcp, crate::address::without_login(input))
        }
        None => ("", input.to_owned()),
    };
    // Quoted for a shell, unless nothing in it needs that.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/:@%+=,".contains(c);
    let input = if !input.is_empty() && input.chars().all(plain) {
        input
    } else {
        format!("'{}'", input.replace('\'', "'\\''"))
    };
    format!(
        "ffmpeg decodes it: ffmpeg -loglevel error {tcp}-i {input} -f yuv4mpegpipe -pix_fmt yuv420p - | \
         runtime camera ARCHIVE --input -"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_told_from_images_and_text() {
        let transport = [&[0x47][..], &[0; 187], &[0x47]].concat();
        for bytes in [
            &b"\0\0\0\x20ftypisom"[..],
            b"AAAAftypmp42",
            b"\x1a\x45\xdf\xa3....",
            b"RIFF....AVI LIST",
            b"\0\0\0\x01\x27\x64",
            &transport,
        ] {
            assert!(kind(bytes).is_some(), "{bytes:?}");
        }
        for bytes in [
            &b""[..],
            b"\xff\xd8\xff\xe0",
            b"\x89PNG\r\n",
            b"RIFF....WEBPVP8 ",
            b"\0\0\0\x1cftypheic",
            b"hello",
        ] {
            assert_eq!(kind(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn the_command_shows_no_login_and_survives_a_shell() {
        let line = advice("rtsp://me:secret@cam/live");
        assert!(
            line.contains("-rtsp_transport tcp -i rtsp://cam/live -f") && !line.contains("secret"),
            "{line}"
        );
        assert!(advice("my cat's.mp4").contains(r"-i 'my cat'\''s.mp4' -f"));
    }
}
