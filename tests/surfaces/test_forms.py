import pytest

from shared.surfaces.multipart import MalformedForm, form_fields

TYPE = 'multipart/form-data; boundary="X y"'


def form(*parts: bytes, end: bytes = b"--X y--\r\n") -> bytes:
    return b"".join(b"--X y\r\n" + part + b"\r\n" for part in parts) + end


def text(name: str, value: bytes) -> bytes:
    return b'Content-Disposition: form-data; name="' + name.encode() + b'"\r\n\r\n' + value


FILE = (
    b'content-disposition: form-data; name="file"; filename="a\\"b.wav"\r\n'
    b"Content-Type: audio/wav\r\n\r\n\x00\xff\r\n--X"
)


def test_text_fields_are_read_and_files_are_named() -> None:
    assert form_fields(form(FILE, text("model", b"sim/x"), text("prompt", "ü".encode())), TYPE) == {
        "file": "",
        "model": "sim/x",
        "prompt": "ü",
    }


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (form(text("a", b"1")), "application/json"),
        (form(text("a", b"1")), "multipart/form-data"),
        (b"", TYPE),
        (b"garbage", TYPE),
        (form(text("a", b"1"), end=b""), TYPE),
        (form(b"Content-Disposition: form-data\r\n\r\nx"), TYPE),
        (form(text("a", b"x" * (1024 * 1024 + 1))), TYPE),
        (form(*[text("a", b"1")] * 257), TYPE),
    ],
)
def test_malformed_forms_are_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(MalformedForm):
        form_fields(body, content_type)
