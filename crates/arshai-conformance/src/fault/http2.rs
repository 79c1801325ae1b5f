//! The borders of HTTP/2 frames (RFC 9113, section 4.1), read as the bytes pass by.

/// "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", which a client sends first.
const PREFACE: u32 = 24;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const END_STREAM: u8 = 0x1;
const STREAM: u32 = 0x7fff_ffff;

/// What the header of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    kind: u8,
    flags: u8,
    pub(super) stream: u32,
}

impl Frame {
    pub(super) fn is_headers(self) -> bool {
        self.kind == HEADERS
    }

    /// Whether its sender sends nothing more on the stream.
    pub(super) fn ends_stream(self) -> bool {
        match self.kind {
            DATA | HEADERS => self.flags & END_STREAM != 0,
            kind => kind == RST_STREAM,
        }
    }
}

/// Where one direction of a connection stands between two frames.
#[derive(Debug, Clone)]
pub(super) struct Frames {
    /// Bytes of the preface or of a payload still to come.
    skip: u32,
    header: [u8; 9],
    filled: usize,
}

impl Frames {
    pub(super) fn of_client() -> Self {
        Self { skip: PREFACE, header: [0; 9], filled: 0 }
    }

    pub(super) fn of_server() -> Self {
        Self { skip: 0, header: [0; 9], filled: 0 }
    }

    /// The first HEADERS frame in `bytes` on a stream that is `wanted`: where it begins, and its stream. A frame
    /// whose header began before these bytes begins at 0. Reads ahead only.
    pub(super) fn find(&self, bytes: &[u8], mut wanted: impl FnMut(u32) -> bool) -> Option<(usize, u32)> {
        let mut ahead = self.clone();
        let mut begin = 0;
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            if ahead.skip == 0 && ahead.filled == 0 {
                begin = at;
            }
            let (read, frame) = ahead.read(rest);
            at += read;
            if let Some(frame) = frame.filter(|frame| frame.is_headers() && wanted(frame.stream)) {
                return Some((begin, frame.stream));
            }
        }
        None
    }

    /// Moves past `bytes`, and tells of each frame whose header ends in them.
    pub(super) fn advance(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            let (read, frame) = self.read(bytes);
            frame.into_iter().for_each(&mut tell);
            bytes = bytes.get(read..).unwrap_or_default();
        }
    }

    /// Reads a part of a payload, or one byte of a header; tells of the frame when that completes the header.
    fn read(&mut self, bytes: &[u8]) -> (usize, Option<Frame>) {
        if self.skip > 0 {
            let read = bytes.len().min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            self.skip -= u32::try_from(read).unwrap_or(self.skip);
            return (read, None);
        }
        if let (Some(slot), Some(byte)) = (self.header.get_mut(self.filled), bytes.first()) {
            *slot = *byte;
            self.filled += 1;
        }
        if self.filled < self.header.len() {
            return (1, None);
        }
        self.filled = 0;
        let [a, b, c, kind, flags, stream @ ..] = self.header;
        self.skip = u32::from_be_bytes([0, a, b, c]);
        (1, Some(Frame { kind, flags, stream: u32::from_be_bytes(stream) & STREAM }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, 0];
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        frame
    }

    #[test]
    fn a_headers_frame_is_found_however_the_bytes_are_cut() {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(frame(4, 0, &[0; 6]));
        bytes.extend(frame(1, 1, b"first"));
        // a payload that looks like a header must not be taken for one
        bytes.extend(frame(0, 1, &frame(1, 9, b"")));
        let third = bytes.len();
        bytes.extend(frame(1, 3, b"second"));

        let frames = Frames::of_client();
        assert_eq!(frames.find(&bytes, |stream| stream > 1), Some((third, 3)));
        assert_eq!(frames.find(&bytes, |stream| stream == 9), None);
        for cut in 0..bytes.len() {
            let (before, after) = bytes.split_at(cut);
            let mut frames = Frames::of_client();
            let early = frames.find(before, |stream| stream == 3);
            frames.advance(before, |_| ());
            let late = frames.find(after, |stream| stream == 3);
            match (early, late) {
                (Some(found), None) => assert_eq!(found, (third, 3), "cut at {cut}"),
                (None, Some((begin, 3))) => assert_eq!(begin, third.saturating_sub(cut), "cut at {cut}"),
                other => panic!("cut at {cut}: {other:?}"),
            }
        }
    }
}
