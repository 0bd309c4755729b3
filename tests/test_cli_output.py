"""What the command line prints to, where that is closed, left or of few characters."""

import io
import os
import subprocess
import sys

import small
from command import call


def test_a_closed_output_is_no_failure():
    command = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-m", "genmodels", "info"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_the_output_cannot_encode_is_escaped(tmp_path, monkeypatch):
    small.vae().save(tmp_path / "model.safetensors")
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii"))
    assert call("sample", tmp_path / "model.safetensors", "--out", tmp_path / "wéird.png") == 0
    assert printed.getvalue().endswith(rb"w\xe9ird.png" + b"\n")


def test_a_reader_who_leaves_is_no_failure_to_speak_of():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "genmodels", "info"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""
