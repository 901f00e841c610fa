//! The program in the demo's images: a static Linux executable (ELF) of a few hundred bytes that prints one
//! text and exits. It uses two system calls, `write` and `exit`, and no library.

/// A platform that the images are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    Amd64,
    Arm64,
}

/// Where the file is loaded.
const BASE: u64 = 0x40_0000;
const FILE_HEADER: u16 = 64;
const PROGRAM_HEADER: u16 = 56;
/// Where the code begins, in the file.
const ENTRY: u64 = 64 + 56;
/// The largest page of both platforms.
const ALIGNMENT: u64 = 0x1_0000;
const READ_AND_EXECUTE: u32 = 5;

impl Architecture {
    pub(super) const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// The name in image configurations and indexes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// An executable that prints `text`; of a longer text, the first 65,535 bytes.
    pub(super) fn program(self, text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        let text = &text.as_bytes()[..usize::from(length)];
        let code = match self {
            Self::Amd64 => amd64(length),
            Self::Arm64 => arm64(length),
        };
        let size = ENTRY + code.len() as u64 + u64::from(length);
        let mut file = self.headers(size);
        file.extend(code);
        file.extend_from_slice(text);
        file
    }

    /// The file header and the header of the one segment, which is the whole file of `size` bytes.
    fn headers(self, size: u64) -> Vec<u8> {
        let machine: u16 = match self {
            Self::Amd64 => 62,
            Self::Arm64 => 183,
        };
        // 64 bits, little endian, version 1, no special system.
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        file.extend(2_u16.to_le_bytes()); // an executable
        file.extend(machine.to_le_bytes());
        file.extend(1_u32.to_le_bytes()); // version
        file.extend((BASE + ENTRY).to_le_bytes());
        file.extend(u64::from(FILE_HEADER).to_le_bytes()); // where the program headers begin
        file.extend(0_u64.to_le_bytes()); // no sections
        file.extend(0_u32.to_le_bytes()); // flags
        for half in [FILE_HEADER, PROGRAM_HEADER, 1, 0, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        file.extend(1_u32.to_le_bytes()); // a segment to load
        file.extend(READ_AND_EXECUTE.to_le_bytes());
        for long in [0, BASE, BASE, size, size, ALIGNMENT] {
            file.extend(long.to_le_bytes());
        }
        file
    }
}

/// `write(1, text, length); exit(0)`, with the text behind the code.
fn amd64(length: u16) -> Vec<u8> {
    let mut code = vec![0xbf, 1, 0, 0, 0]; // mov edi, 1
    code.extend([0x48, 0x8d, 0x35, 21, 0, 0, 0]); // lea rsi, [rip + 21]: the text
    code.push(0xba); // mov edx, length
    code.extend(u32::from(length).to_le_bytes());
    code.extend([0xb8, 1, 0, 0, 0]); // mov eax, 1: write
    code.extend([0x0f, 0x05]); // syscall
    code.extend([0x31, 0xff]); // xor edi, edi
    code.extend([0xb8, 60, 0, 0, 0]); // mov eax, 60: exit
    code.extend([0x0f, 0x05]); // syscall
    code
}

/// The same as [`amd64`], for the other platform.
fn arm64(length: u16) -> Vec<u8> {
    let instructions: [u32; 8] = [
        0xd280_0020,                          // mov x0, #1
        0x1000_00e1,                          // adr x1, . + 28: the text
        0xd280_0002 | u32::from(length) << 5, // mov x2, #length
        0xd280_0808,                          // mov x8, #64: write
        0xd400_0001,                          // svc #0
        0xd280_0000,                          // mov x0, #0
        0xd280_0ba8,                          // mov x8, #93: exit
        0xd400_0001,                          // svc #0
    ];
    instructions.into_iter().flat_map(u32::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::demo::Folder;

    /// What the program of this machine's platform prints, and its exit status. A shell writes the file, so
    /// that no other test holds it open for writing while it is started.
    fn run(text: &str) -> (String, Option<i32>) {
        let own = match std::env::consts::ARCH {
            "x86_64" => Architecture::Amd64,
            "aarch64" => Architecture::Arm64,
            other => panic!("no program for {other}"),
        };
        let folder = Folder::new().unwrap();
        let mut shell = Command::new("sh")
            .args(["-c", r#"cat >"$0" && chmod 700 "$0" && exec "$0""#])
            .arg(folder.path().join("program"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        shell.stdin.take().unwrap().write_all(&own.program(text)).unwrap();
        let output = shell.wait_with_output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    }

    #[test]
    fn the_program_prints_its_text_and_succeeds() {
        for text in ["Hello.\n", "", &"x".repeat(60_000)] {
            assert_eq!(run(text), (text.to_owned(), Some(0)));
        }
    }

    #[test]
    fn a_longer_text_is_cut() {
        assert_eq!(run(&"x".repeat(70_000)), ("x".repeat(65_535), Some(0)));
    }

    #[test]
    fn both_programs_end_with_their_text_and_load_all_of_it() {
        for architecture in Architecture::ALL {
            let file = architecture.program("Hello.\n");
            assert!(file.ends_with(b"Hello.\n"), "{architecture:?}");
            let size = (file.len() as u64).to_le_bytes();
            assert_eq!((&file[96..104], &file[104..112]), (&size[..], &size[..]));
        }
        // `adr` and `lea` point at the end of the code.
        assert_eq!((amd64(1).len(), arm64(1).len()), (5 + 7 + 21, 4 + 28));
    }
}
