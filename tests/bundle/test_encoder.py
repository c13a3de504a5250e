"""Encoder: RAD-DINO's weights as a bundle without a finding, and what may be done with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from monai_cxr.bundle.config import read_config
from monai_cxr.bundle.exporting.network import export
from monai_cxr.bundle.inference import predict_table
from monai_cxr.bundle.joining import join
from monai_cxr.bundle.model import BundleModel
from monai_cxr.bundle.pretrained import PROCESSOR_NAME, package_pretrained
from monai_cxr.bundle.pretrained_register import weights_named
from monai_cxr.bundle.verification import verify
from monai_cxr.cli import app
from monai_cxr.errors import InvalidBundle, SettingsError
from monai_cxr.networks.builders import NETWORKS, build
from monai_cxr.networks.converters import convert_dinov2
from monai_cxr.preprocessing import prepare
from monai_cxr.screening.service.served_model import ServedModel
from monai_cxr.tables import read_table, write_table

timm = pytest.importorskip("timm", reason="pip install 'monai-cxr[timm]'")

ENTRY = weights_named("rad-dino")
SMALL = {"depth": 2, "embed_dim": 48, "num_heads": 3}


def small_entry(size=56, **options):
    """The register's entry with a smaller network."""
    network = {**ENTRY.network, "options": {**SMALL, **options}}
    return replace(ENTRY, network=network, image_size=size)


def shaken(network):
    """Random weights, so that a swapped tensor shows."""
    generator = torch.Generator().manual_seed(1)
    for value in network.state_dict().values():
        value += 0.02 * torch.randn(value.shape, generator=generator)
    return network.eval()


def run(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A folder as the origin publishes it, by its own library: weights and preprocessing."""
    transformers = pytest.importorskip("transformers", reason="pip install transformers")
    folder = tmp_path_factory.mktemp("origin")
    torch.manual_seed(0)
    config = transformers.Dinov2Config(num_hidden_layers=2, image_size=518)
    network = shaken(transformers.Dinov2Model(config))
    network.save_pretrained(folder)
    processor = transformers.BitImageProcessor(
        **{"size": {"shortest_edge": 518}, "crop_size": 518, "resample": 3},
        **{"image_mean": [0.5307] * 3, "image_std": [0.2583] * 3},
    )
    processor.save_pretrained(folder)
    entry = small_entry(518, embed_dim=768, num_heads=12)
    package_pretrained(entry, folder / "bundle", folder / "model.safetensors")
    model = BundleModel.load(folder / "bundle", device="cpu", runtime="torch", encoder=True)
    return network, processor, model


def soft_films():
    """As soft as films are; of bare noise, torchvision's own rounding is above the tolerance."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 24), dtype=np.uint8))
    return [np.asarray(noise.resize((side, side), Image.BICUBIC)) for side in (300, 1024)]


class TestOrigin:
    def embeddings(self, origin, film):
        """Those of the origin, of this package, and of the origin's own 8-bit film."""
        network, processor, model = origin
        exact = np.repeat((film.astype(np.float32) / 255)[..., None], 3, axis=2)
        asked = {"input_data_format": "channels_last", "return_tensors": "pt"}
        pixels = processor(exact, do_rescale=False, **asked)["pixel_values"]
        # Bicubic goes beyond black and white; 8-bit films are cut there, so is this one.
        low, high = ((value - 0.5307) / 0.2583 for value in (0.0, 1.0))
        rounded = processor(Image.fromarray(film).convert("RGB"), return_tensors="pt")
        with torch.no_grad():
            expected = network(pixels.clamp(low, high)).pooler_output.numpy()
            eight_bit = network(rounded["pixel_values"]).pooler_output.numpy()
        return expected, model.run(model.prepare(exact[..., 0])[None]).embeddings, eight_bit

    def check(self, origin, films):
        for film in films:
            expected, found, eight_bit = self.embeddings(origin, film)
            assert found.shape == (1, 768)
            assert found == pytest.approx(expected, abs=1e-5)
            cosine = (found * eight_bit).sum() / np.linalg.norm(found) / np.linalg.norm(eight_bit)
            assert cosine > 0.999

    def test_equal_embeddings_of_soft_noise(self, origin):
        self.check(origin, soft_films())

    def test_equal_embeddings_of_real_films(self, origin, data_directory):
        paths = sorted((data_directory / "chestxray14" / "images").glob("*.png"))[:3]
        self.check(origin, [np.asarray(Image.open(path).convert("L")) for path in paths])


def test_bicubic_as_pillow_has_it():
    film = np.random.default_rng(0).random((300, 300)).astype(np.float32)
    for size in (100, 518):
        resized = Image.fromarray(film).resize((size, size), Image.Resampling.BICUBIC)
        found = prepare(film, size, resize="center_crop_bicubic")
        assert found == pytest.approx(np.clip(np.asarray(resized), 0, 1), abs=1e-5)


def as_transformers_writes(state):
    """timm's tensors by the names of the origin's file, so that its library need not be here."""
    named = {"embeddings.mask_token": torch.zeros(1, 48)}
    pairs = [("blocks.", "encoder.layer."), (".ls1.gamma", ".layer_scale1.lambda1")]
    pairs += [(".ls2.gamma", ".layer_scale2.lambda1"), ("patch_embed.proj", "@projection")]
    pairs += [(".attn.proj.", ".attention.output.dense.")]
    for name, value in state.items():
        for new, old in pairs:
            name = name.replace(new, old)
        name = name.replace("@", "embeddings.patch_embeddings.")
        if name.startswith("head."):
            continue
        if name.startswith("norm."):
            named[f"layer{name}"] = value
        elif name in ("cls_token", "pos_embed"):
            named[f"embeddings.{name.replace('pos_embed', 'position_embeddings')}"] = value
        elif ".attn.qkv." in name:
            for part, piece in zip(("query", "key", "value"), value.chunk(3), strict=True):
                named[name.replace("attn.qkv", f"attention.attention.{part}")] = piece.clone()
        else:
            named[name] = value
    return named


@pytest.fixture(scope="module")
def small_network():
    """timm's own network of the same sizes as the small entry."""
    name, options = ENTRY.network["name"].removeprefix("timm:"), {"img_size": 56, "num_classes": 0}
    return shaken(timm.create_model(name, **SMALL, **options))


@pytest.fixture(scope="module")
def weights(small_network, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(as_transformers_writes(small_network.state_dict()), path)
    return path


@pytest.fixture(scope="module")
def encoder(weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("encoder") / "encoder"
    package_pretrained(small_entry(), out, weights)
    return out


class TestConverter:
    def test_gives_timm_s_names_of_both_spellings(self, small_network):
        expected = small_network.state_dict()
        old = as_transformers_writes(expected)
        new = {
            name.replace("attention.attention.query", "attention.q_proj")
            .replace("attention.attention.key", "attention.k_proj")
            .replace("attention.attention.value", "attention.v_proj")
            .replace("attention.output.dense", "attention.o_proj"): value
            for name, value in old.items()
        }
        for state in (old, new, expected):
            found = convert_dinov2(state)
            assert set(found) == set(expected)
            assert all(torch.equal(found[name], expected[name]) for name in expected)

    def test_a_layer_without_a_key_is_another_network(self, weights, tmp_path, small_network):
        state = as_transformers_writes(small_network.state_dict())
        del state["encoder.layer.1.attention.attention.key.weight"]
        save_file(state, tmp_path / "model.safetensors")
        with pytest.raises(InvalidBundle, match="does not hold the ViT-B/14"):
            package_pretrained(small_entry(), tmp_path / "out", tmp_path / "model.safetensors")

    def test_other_sizes_are_refused(self, weights, tmp_path):
        with pytest.raises(InvalidBundle, match="does not hold the ViT-B/14"):
            package_pretrained(ENTRY, tmp_path / "out", weights)
        assert not (tmp_path / "out").exists()


class TestProcessor:
    def stated(self, weights, tmp_path, **changed):
        content = {**ENTRY.processor, "image_processor_type": "BitImageProcessor", **changed}
        (tmp_path / weights.name).write_bytes(weights.read_bytes())
        (tmp_path / PROCESSOR_NAME).write_text(json.dumps(content), encoding="utf-8")
        package_pretrained(small_entry(), tmp_path / "out", tmp_path / weights.name)

    def test_the_same_is_taken(self, weights, tmp_path):
        self.stated(weights, tmp_path)
        assert verify(tmp_path / "out").findings == ()

    def test_another_is_refused_by_what_differs(self, weights, tmp_path):
        with pytest.raises(InvalidBundle, match=r"says image_mean \[0.5, 0.5, 0.5\].*0.5307"):
            self.stated(weights, tmp_path, image_mean=[0.5] * 3)
        assert not (tmp_path / "out").exists()

    def test_a_damaged_one(self, weights, tmp_path):
        (tmp_path / weights.name).write_bytes(weights.read_bytes())
        (tmp_path / PROCESSOR_NAME).write_text("[1", encoding="utf-8")
        with pytest.raises(InvalidBundle, match="is no JSON object"):
            package_pretrained(small_entry(), tmp_path / "out", tmp_path / weights.name)


class TestEncoder:
    def test_says_what_it_is(self, encoder):
        assert verify(encoder).findings == ()
        metadata = read_config(encoder, "metadata")
        assert metadata["weights_source"]["name"] == "rad-dino"
        assert metadata["trained_on"][0]["data"] == "ChestX-ray14"
        assert "few-shot" in (encoder / "docs" / "README.md").read_text(encoding="utf-8")

    def test_predict_gives_embeddings_and_no_score(self, encoder, phantom_index, tmp_path):
        paths = [*sorted(phantom_index.films.rglob("*.dcm"))[:2], encoder / "LICENSE"]
        out = tmp_path / "predictions.parquet"
        done = run("predict", encoder, *paths, "--out", out, "--embeddings", "--workers", 0)
        assert done.exit_code == 0, done.output
        table = read_table(out)
        assert [len(one) for one in table["embedding"]][:2] == [48, 48]
        assert table["reason"].iloc[0] == ""
        assert table["reason"].iloc[-1] != ""
        assert not [name for name in table if name.startswith(("logit_", "probability_"))]
        for verb in ("evaluate", "calibrate"):
            done = run(verb, out, "--labels", phantom_index.path, "--out", tmp_path / verb)
            assert "add a finding to it with monai-cxr few-shot" in str(done.exception)

    @pytest.mark.parametrize(
        "arguments",
        [
            ("export", "ENCODER", "--to", "onnx"),
            ("view", "ENCODER"),
            ("registry", "add", "ENCODER", "--registry", "OUT", "--signer", "A", "--reason", "B"),
            ("explain", "FILM", "--bundle", "ENCODER", "--out", "OUT"),
            ("predict", "ENCODER", "FILM", "--with", "OTHER", "--out", "OUT.csv"),
        ],
    )
    def test_others_refuse_it(self, encoder, packaged_bundle, phantom_index, tmp_path, arguments):
        film = next(phantom_index.films.rglob("*.dcm"))
        places = {"ENCODER": encoder, "FILM": film, "OTHER": packaged_bundle}
        places |= {"OUT": tmp_path / "out", "OUT.csv": tmp_path / "out.csv"}
        done = run(*(places.get(one, one) for one in arguments))
        assert isinstance(done.exception, InvalidBundle), done.output
        assert "is an encoder and has no finding" in str(done.exception)
        assert "few-shot" in str(done.exception)

    def test_screening_refuses_it_at_the_start(self, encoder):
        with pytest.raises(InvalidBundle, match="is an encoder and has no finding"):
            ServedModel(encoder).require_calibrated()

    def test_an_ensemble_refuses_it(self, encoder, packaged_bundle, phantom_index, tmp_path):
        with pytest.raises(InvalidBundle, match="is an encoder and has no finding"):
            join([encoder, packaged_bundle], phantom_index.path, tmp_path / "out")


@pytest.fixture(scope="module")
def index(phantom_index, tmp_path_factory):
    """Every second patient has the finding."""
    table = phantom_index.table
    patients = {name: i % 2 for i, name in enumerate(sorted(table["patient_id"].unique()))}
    path = tmp_path_factory.mktemp("granuloma") / "index.parquet"
    write_table(table.assign(Granuloma=table["patient_id"].map(patients).astype(float)), path)
    return path


class TestUse:
    def test_probe_says_what_it_knows(self, encoder, index, tmp_path):
        options = ["--share", "1", "--draws", "2", "--workers", "0"]
        done = run("probe", encoder, index, "--out", tmp_path, *options)
        assert done.exit_code == 0, done.output
        assert "Granuloma" in set(read_table(tmp_path / "curve.csv")["finding"])

    def test_few_shot_makes_an_ordinary_bundle_of_it(self, encoder, index, tmp_path):
        out = tmp_path / "bundle"
        arguments = ["--finding", "Granuloma", "--index", index, "--out", out, "--workers", "0"]
        done = run("few-shot", encoder, *arguments)
        assert done.exit_code == 0, done.output
        assert verify(out).findings == ("Granuloma",)
        rows = read_table(index).head(4)
        model = BundleModel.load(out, device="cpu", runtime="torch")
        seen = predict_table(model, rows, workers=0, embeddings=True)
        same = BundleModel.load(encoder, device="cpu", runtime="torch", encoder=True)
        own = predict_table(same, rows, workers=0, embeddings=True)
        assert np.array_equal(np.stack(list(seen["embedding"])), np.stack(list(own["embedding"])))
        assert seen["probability_Granuloma"].between(0, 1).all()
        again = ["--finding", "Cyst", "--index", tmp_path / "cyst.parquet", "--workers", "0"]
        write_table(read_table(index).rename(columns={"Granuloma": "Cyst"}), again[3])
        done = run("few-shot", out, *again, "--out", tmp_path / "two")
        assert done.exit_code == 0, done.output
        assert verify(tmp_path / "two").findings == ("Granuloma", "Cyst")
        paths = [str(one) for one in rows["path"]]
        export(out, "onnx", films=[Path(one) for one in paths])  # refuses what differs
        exported = predict_table(
            BundleModel.load(out, runtime="onnx"), pd.DataFrame({"path": paths}), workers=0
        )
        expected = seen["logit_Granuloma"].to_numpy()
        assert exported["logit_Granuloma"].to_numpy() == pytest.approx(expected, abs=1e-3)


class TestBuild:
    @pytest.mark.parametrize("name", ["densenet121", "mobilenet_v3_small", "small_resnet", "lenet"])
    def test_any_network_without_outputs(self, name):
        assert name in NETWORKS
        network = build(name, 1, 0, image_size=64).eval()
        with torch.no_grad():
            assert network(torch.zeros(2, 1, 64, 64)).shape == (2, 0)

    @pytest.mark.parametrize("options", [{"exclusive": True}, {"head": "csra"}])
    def test_what_needs_outputs_is_refused(self, options):
        with pytest.raises(SettingsError):
            build("small_resnet", 1, 0, image_size=64, **options)
