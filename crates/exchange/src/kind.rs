//! What a file is, by its first bytes. A file that is something else is named for what it is: a user who hands over an ONNX file wants
//! to read that, not that a header is too large.

use std::io::Cursor;
use std::path::Path;

use zip::ZipArchive;

/// What a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A safetensors file.
    Safetensors,
    /// The index of sharded safetensors or PyTorch files.
    Index,
    /// GGUF.
    Gguf,
    /// One numpy array.
    Npy,
    /// A zip of numpy arrays.
    Npz,
    /// PyTorch since 1.6: a zip with a pickle that says where tensors are.
    PytorchZip,
    /// A bare pickle: PyTorch before 1.6, or anything Python wrote.
    Pickle,
    /// Something that is not read here: a sentence.
    Other(String),
}

/// Entries of a zip that are looked at to tell what it is.
const LOOKED_AT: usize = 64;

/// First bytes and what they mean. The order matters where one is the beginning of another.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras, or MATLAB 7.3): save its weights as .npz or .safetensors"),
    (b"SDPR", "an .sdp file, compressed already: `seedpress decompress` turns it back into a checkpoint"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: fetch it with `git lfs pull`"),
    (b"\x1f\x8b", "a gzip file: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file: unpack it first"),
    (b"\xfd7zXZ\x00", "an xz file: unpack it first"),
    (b"BZh", "a bzip2 file: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it first"),
    (b"\x04\x22\x4d\x18", "an lz4 file: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"ggjt", "a GGML file from before GGUF: convert it with llama.cpp's convert_llama_ggml_to_gguf.py"),
    (b"tjgg", "a GGML file from before GGUF: convert it with llama.cpp's convert_llama_ggml_to_gguf.py"),
    (b"lmgg", "a GGML file from before GGUF: convert it with llama.cpp's convert_llama_ggml_to_gguf.py"),
    (b"fmgg", "a GGML file from before GGUF: convert it with llama.cpp's convert_llama_ggml_to_gguf.py"),
    (b"algg", "a GGML LoRA adapter: merge it into its model first"),
    (b"MATLAB 5.0", "a MATLAB file: save its weights as .npz"),
    (b"PAR1", "a Parquet file: it holds tables, no weights"),
    (b"ARROW1", "an Arrow file: it holds tables, no weights"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x7fELF", "a program or shared library"),
    (b"MZ", "a Windows program or library"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"RIFF", "a RIFF file (WAV, AVI or WebP)"),
    (b"ftrt", "a TensorRT engine: it is built for one GPU, start from the model it was built from"),
    (b"<!DOCTYPE", "a web page: the download went wrong"),
    (b"<!doctype", "a web page: the download went wrong"),
    (b"<html", "a web page: the download went wrong"),
    (b"<?xml", "an XML file (OpenVINO keeps its weights in the .bin beside it): start from the original model"),
];

/// Extensions of formats whose first bytes say nothing or too little.
const EXTENSIONS: &[(&str, &str)] = &[
    ("onnx", "an ONNX file: export the model it came from, as .safetensors or .pth"),
    ("pb", "a TensorFlow graph: save its weights as .npz or .safetensors"),
    ("h5", "named like HDF5 but is none"),
    ("msgpack", "a Flax file: save its weights as .safetensors"),
    ("mlmodel", "a Core ML model: start from the model it came from"),
    ("tflite", "a TensorFlow Lite file: start from the model it came from"),
];

const ONNX: &str = "an ONNX file: export the model it came from, as .safetensors or .pth";
const TENSORFLOW: &str = "a TensorFlow checkpoint: save its weights as .npz or .safetensors";

/// Looks at the bytes of a file, and at its name where bytes are ambiguous.
pub fn recognise(path: &Path, bytes: &[u8]) -> Kind {
    let other = |what: &str| Kind::Other(format!("this is {what}"));
    if bytes.is_empty() {
        return Kind::Other("this file is empty".to_owned());
    }
    if bytes.starts_with(b"GGUF") {
        return Kind::Gguf;
    }
    if bytes.starts_with(b"\x93NUMPY") {
        return Kind::Npy;
    }
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06") {
        return zip_kind(bytes);
    }
    // Before the signatures: the eight bytes of a header's length can be the beginning of anything.
    if is_safetensors(bytes) {
        return Kind::Safetensors;
    }
    if let Some((_, what)) = SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)) {
        return other(what);
    }
    if bytes.len() > 8 && &bytes[4..8] == b"TFL3" {
        return other("a TensorFlow Lite file: start from the model it came from");
    }
    if bytes.len() > 262 && &bytes[257..262] == b"ustar" {
        return other("a tar archive (or a .nemo file or a PyTorch file of before 2018): unpack it first");
    }
    // The footer of a LevelDB table, which a checkpoint's index is.
    if bytes.ends_with(&[0x57, 0xfb, 0x80, 0x8b, 0x24, 0x75, 0x47, 0xdb]) {
        return other(TENSORFLOW);
    }
    if bytes[0] == 0x80 && bytes.len() > 1 && (1..=5).contains(&bytes[1]) {
        return Kind::Pickle;
    }
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.contains(".data-0") {
        return other(TENSORFLOW);
    }
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_lowercase();
    if let Some((_, what)) = EXTENSIONS.iter().find(|(known, _)| *known == extension) {
        return other(what);
    }
    // A protocol buffer whose field 1 is a small version and whose next field is one of a model's.
    if bytes.len() > 3 && bytes[0] == 8 && bytes[1] < 32 && matches!(bytes[2], 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a)
    {
        return other(ONNX);
    }
    text_kind(bytes, &extension)
}

/// A header length that fits and the beginning of a JSON object.
fn is_safetensors(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else { return false };
    rest.first() == Some(&b'{') && u64::from_le_bytes(*length) < 1 << 32
}

fn text_kind(bytes: &[u8], extension: &str) -> Kind {
    let start = &bytes[..bytes.len().min(4096)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => Some(text),
        // Cut in the middle of a character.
        Err(error) if error.valid_up_to() + 4 > start.len() && start.len() == 4096 => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    match text.filter(|text| !text.contains('\0')) {
        Some(text) if text.trim_start().starts_with('{') => Kind::Index,
        Some(_) => Kind::Other("this is a text file".to_owned()),
        None if extension == "safetensors" => Kind::Safetensors,
        None => Kind::Other(
            "this is no format that is read: .safetensors, .gguf, .pt, .pth, .bin, .npz and .npy are".to_owned(),
        ),
    }
}

fn zip_kind(bytes: &[u8]) -> Kind {
    let archive = match ZipArchive::new(Cursor::new(bytes)) {
        Ok(archive) => archive,
        Err(error) => return Kind::Other(format!("this is a zip archive that cannot be read: {error}")),
    };
    let names: Vec<String> =
        archive.file_names_raw().map(|name| String::from_utf8_lossy(name).into_owned()).take(LOOKED_AT).collect();
    let any = |test: &dyn Fn(&str) -> bool| names.iter().any(|name| test(name));
    if any(&|name| name == "data.pkl" || name.ends_with("/data.pkl")) {
        Kind::PytorchZip
    } else if any(&|name| name.ends_with(".npy")) {
        Kind::Npz
    } else if any(&|name| name.ends_with(".weights.h5")) {
        Kind::Other("this is a Keras file: save its weights as .npz or .safetensors".to_owned())
    } else if any(&|name| name == "Manifest.json" || name.ends_with(".mlmodel")) {
        Kind::Other("this is a Core ML package: start from the model it came from".to_owned())
    } else {
        Kind::Other(
            "this is a zip archive that holds neither PyTorch tensors nor numpy arrays: unpack it first".to_owned(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, bytes: &[u8]) -> String {
        match recognise(Path::new(name), bytes) {
            Kind::Other(what) => what,
            kind => format!("{kind:?}"),
        }
    }

    #[test]
    fn files_of_other_kinds_are_named_for_what_they_are() {
        let mut tar = vec![0u8; 600];
        tar[257..262].copy_from_slice(b"ustar");
        for (name, bytes, expected) in [
            ("model.onnx", &b"\x08\x08\x12\x07pytorch"[..], "ONNX"),
            ("model.bin", b"\x08\x07\x3a\xff\xff\x01", "ONNX"),
            ("model.h5", b"\x89HDF\r\n\x1a\n....", "HDF5"),
            ("x.safetensors", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
            ("x", b"\x1f\x8b\x08\x00", "gzip"),
            ("x", b"\x1c\x00\x00\x00TFL3\x00\x00", "TensorFlow Lite"),
            ("variables.data-00000-of-00001", b"\x00\x01\xfe\xff\xff", "TensorFlow checkpoint"),
            ("saved_model.pb", b"\x08\x01\x12\x9a", "TensorFlow graph"),
            ("x.tar", &tar, "tar archive"),
            ("x.sdp", b"SDPR\x01", ".sdp"),
            ("x.safetensors", b"<!DOCTYPE html>", "web page"),
            ("x.safetensors", b"", "empty"),
            ("x.txt", b"hello\n", "text"),
            ("x", b"PK\x05\x06", "zip"),
            ("flax_model.msgpack", b"\x83\xa5", "Flax"),
            ("x", b"\x00\xff\xfe\x01", "no format"),
        ] {
            let found = said(name, bytes);
            assert!(found.contains(expected), "{name}: {found}");
        }
    }

    #[test]
    fn formats_that_are_read_are_recognised() {
        assert_eq!(recognise(Path::new("x"), b"GGUF\x03\x00\x00\x00"), Kind::Gguf);
        assert_eq!(recognise(Path::new("x"), b"\x80\x02}q\x00."), Kind::Pickle);
        assert_eq!(recognise(Path::new("x"), b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "), Kind::Safetensors);
        assert_eq!(recognise(Path::new("x"), b"{\"weight_map\": {}}"), Kind::Index);
        assert_eq!(recognise(Path::new("x"), b"\x93NUMPY\x01\x00"), Kind::Npy);
    }
}
