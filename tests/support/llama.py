"""A real model server that nobody here wrote, llama.cpp's own from the wheel `xllamacpp`, with a model of known words.

The model is generated. Its attention and feed-forward weights are zero, its embedding is the identity and its output
matrix says "the successor of token i": at temperature 0 it answers anything with `w000 w001 … w499 ` and ends, so that
a lost, doubled or reordered word is seen. The endless variant begins again instead of ending, until it is stopped.

The server runs in a process of its own (`python -m tests.support.llama MODEL`), which ends when its standard input
does: nothing survives a test run that is killed.
"""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

WORDS = tuple(f"w{index:03d} " for index in range(500))
ANSWER = "".join(WORDS)
CONTEXT_TOKENS = 4096
HEAD_COUNT = 4
FEED_FORWARD = 32

_UNKNOWN, _BEGIN, _END, _ASSISTANT, _FIRST_BYTE = range(5)
_FIRST_WORD = _FIRST_BYTE + 256
_TEMPLATE = (
    "{% for message in messages %}{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama:
    """A running server."""

    port: int
    process: subprocess.Popen[str]

    @property
    def base_url(self) -> str:
        """What OPENAI_BASE_URL would be."""
        return f"http://127.0.0.1:{self.port}/v1"


def write_model(path: Path, *, endless: bool = False) -> None:
    """Writes the model, some 5 MB."""
    writer = gguf.GGUFWriter(path, "llama")
    count = _write_words(writer)
    assert count % HEAD_COUNT == 0
    writer.add_name("known-words")
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(count)
    writer.add_block_count(1)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEAD_COUNT)
    writer.add_head_count_kv(HEAD_COUNT)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(count)

    writer.add_tensor("token_embd.weight", np.eye(count, dtype=np.float16))
    writer.add_tensor("output.weight", _successors(count, endless=endless))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(count, dtype=np.float32))
    for name, rows, columns in (
        ("attn_q", count, count),
        ("attn_k", count, count),
        ("attn_v", count, count),
        ("attn_output", count, count),
        ("ffn_gate", FEED_FORWARD, count),
        ("ffn_up", FEED_FORWARD, count),
        ("ffn_down", count, FEED_FORWARD),
    ):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((rows, columns), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@contextmanager
def running_llama(folder: Path, *, endless: bool = False) -> Generator[Llama]:
    """A server with the model, which is written into `folder`, for as long as the block runs."""
    model = folder / ("endless.gguf" if endless else "known-words.gguf")
    write_model(model, endless=endless)
    with (folder / "llama.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.llama", str(model.resolve())],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith('{"port"'):
                    break
            else:
                raise AssertionError(f"llama.cpp did not start, see {log.name}")
            yield Llama(port=json.loads(line)["port"], process=process)
        finally:
            process.stdin.close()
            process.stdout.close()
            process.kill()
            process.wait()


def _write_words(writer: gguf.GGUFWriter) -> int:
    """The vocabulary; how many tokens it has. Bytes are in it because the tokenizer wants them."""
    tokens = ["<unk>", "<s>", "</s>", "<|assistant|>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * 3, *[gguf.TokenType.BYTE] * 256]
    tokens += WORDS
    kinds += [gguf.TokenType.USER_DEFINED] * len(WORDS)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_unk_token_id(_UNKNOWN)
    writer.add_bos_token_id(_BEGIN)
    writer.add_eos_token_id(_END)
    writer.add_add_bos_token(False)  # noqa: FBT003  the library's own shape
    writer.add_add_space_prefix(False)  # noqa: FBT003
    writer.add_chat_template(_TEMPLATE)
    return len(tokens)


def _successors(count: int, *, endless: bool) -> npt.NDArray[np.float16]:
    """Row t holds which tokens token t follows."""
    output = np.zeros((count, count), dtype=np.float16)
    output[_FIRST_WORD, _ASSISTANT] = 1
    for word in range(_FIRST_WORD, count - 1):
        output[word + 1, word] = 1
    output[_FIRST_WORD if endless else _END, count - 1] = 1
    return output


def _serve(model: str) -> None:
    """The server's process: says its port, then serves until its standard input ends."""
    xllamacpp: Any = import_module("xllamacpp")  # it has no types, and only this process needs it
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = 1
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.warmup = False
    parameters.sampling.temp = 0.0
    server = xllamacpp.Server(parameters)
    port = int(server.listening_address.rpartition(":")[2].rstrip("/"))
    sys.stdout.write(json.dumps({"port": port}) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1])
