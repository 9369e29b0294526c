"""The command line and config files: what is understood, what is refused, and in which words."""

import math
from dataclasses import replace
from pathlib import Path

import pytest

from methods.command_line import all_groups, all_settings, parse, to_config_text
from methods.points.options import PointOptions, paper_defaults
from settings.errors import InputError
from settings.unsupported_flags import REFUSED

CONFIGS = Path(__file__).parents[2] / "configs"
PUBLISHED = {  # data_r, splatting_r of the original program's recommendations
    "hotdog": (0.012, 0.015),
    "lego": (0.08, 0.010),
    "materials": (0.03, 0.010),
    "mic": (0.15, 0.008),
    "ficus": (0.15, 0.008),
    "drums": (0.25, 0.008),
    "chair": (0.06, 0.010),
    "ship": (0.03, 0.010),
}


def refusal(*argv: str) -> str:
    with pytest.raises(InputError) as caught:
        parse(list(argv))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_original_command_is_understood_verbatim():
    line = "--datadir ./nerf_synthetic/ --dataname hotdog --basedir xxx --data_r 0.012 --splatting_r 0.015"
    assert parse(line.split()) == PointOptions(
        datadir="./nerf_synthetic/", dataname="hotdog", basedir="xxx", data_r=0.012, splatting_r=0.015
    )


def test_the_forks_command_is_understood_verbatim():
    line = (
        "--datadir ./nerf_synthetic/ --dataname hotdog --data_r 0.012 --splatting_r 0.010 "
        "--basedir ./runs/20230509/hotdog/TEST --pc_jitter_amount 0.12 --filter_consistency_ratio 0.80 "
        "--posFirst YES --ridgePosition 1.00 --shAlone YES"
    )
    options = parse(line.split())
    assert options.recipe == "paper"  # whose stages these are
    assert (options.pc_jitter_amount, options.filter_consistency_ratio, options.ridgePosition) == (0.12, 0.8, 1.0)
    assert (options.posFirst, options.shAlone) == ("YES", "YES")
    assert parse(["--dataname", "x", "--pc_jitter_amount", "0.12"]).recipe == "default"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--posFirst YES --recipe default", "stages of the paper's recipe"),
        ("--shAlone maybe", "choose one of YES, NO"),
        ("--ridgePosition 1", "give --posFirst YES"),
        ("--pc_jitter_amount 1.5", "at most 1"),
        ("--pc_jitter_amount -0.1", "at least 0"),
        ("--filter_consistency_ratio 0", "above 0"),
        ("--filter_consistency_ratio 1.01", "at most 1"),
        ("--mask_corruption blur:3", "unknown kind 'blur'"),
        ("--no_masks --pc_jitter_amount 0.1", "drop the other flag"),
        ("--no_masks --maskdir masks", "drop the other flag"),
        ("--no_masks --recipe paper", "needs --recipe default"),
    ],
)
def test_flags_about_masks_that_make_no_sense(flags, words):
    assert words in refusal("--dataname", "x", *flags.split())


def test_fields_do_without_masks_too():
    assert parse(["--dataname", "x", "--method", "nerf", "--no_masks"]).no_masks


def test_recipe_and_protocol_decide_what_is_not_given():
    options = parse(["--dataname", "lego"])
    assert [options.img_s, options.data_r, options.lr1] == [None, None, None]
    assert (options.recipe, options.protocol, options.method) == ("default", "paper", "points")
    assert options.seed == 0
    assert options.basedir == "./logs/lego_points_default"
    filled = replace(options, data_r=0.5).filled(paper_defaults())
    assert (filled.data_r, filled.splatting_r, filled.raster_n, filled.refine_n) == (0.5, 0.015, 15, 2)
    assert (filled.lr1, filled.lr2, filled.lrexp, filled.lr_s) == (22e-3, 8e-4, 0.93, 0.03)


def test_zero_is_a_value_and_not_a_gap():
    assert replace(PointOptions(), raster_n=0).filled(paper_defaults()).raster_n == 0


@pytest.mark.parametrize(
    ("flags", "value"),
    [
        (["--half_res"], True),
        (["--half_res", "True"], True),
        (["--half_res", "False"], False),
        (["--half_res=false"], False),
        ([], False),
    ],
)
def test_switches_take_an_optional_truth_value(flags, value):
    assert parse(["--dataname", "lego", *flags]).half_res is value


def test_scene_name_and_background():
    assert parse(["--datadir", "/some/where/chair/"]).scene_name == "chair"
    assert parse(["--datadir", "/some/where", "--dataname", "ship"]).scene_name == "ship"
    assert parse(["--dataset_type", "demo"]).scene_name == "demo"
    assert parse(["--dataname", "demo"]).is_demo and not parse(["--dataname", "demo", "--dataset_type", "llff"]).is_demo
    assert parse(["--dataname", "x"]).scene_background == "black"
    assert parse(["--dataname", "x", "--white_bkgd"]).scene_background == "white"
    assert parse(["--dataname", "x", "--protocol", "standard"]).scene_background == "white"


@pytest.mark.parametrize("scene", PUBLISHED)
def test_shipped_configs_hold_the_published_values(scene):
    options = parse(["--config", str(CONFIGS / f"{scene}_points.txt")])
    assert (options.dataname, options.data_r, options.splatting_r) == (scene, *PUBLISHED[scene])
    given = PointOptions(
        dataname=scene, recipe="paper", data_r=options.data_r, splatting_r=options.splatting_r, basedir=options.basedir
    )
    assert options == given


def test_the_command_line_wins_over_the_config_file(tmp_path):
    file = tmp_path / "run.txt"
    file.write_text("# a comment\ndataname = lego\nhalf_res = True  # half\nlr1 = 0.5\nseed = 3\n")
    options = parse(["--config", str(file), "--seed", "4", "--half_res", "False"])
    assert (options.dataname, options.lr1, options.seed, options.half_res) == ("lego", 0.5, 4, False)
    assert parse(["--config", str(file)]).half_res is True


@pytest.mark.parametrize("folder", ["runs/a", "runs/two words #1", "it's", "C:\\runs\\x = y", "[a", "ünï"])
def test_the_config_as_run_reads_back_the_same(tmp_path, folder):
    options = PointOptions(
        datadir="data",
        dataname="lego",
        basedir=folder,
        data_r=1 / 3,
        lr2=1e-7,
        half_res=True,
        seed=7,
        render_only=True,
        render_test=True,
        device="cpu",
    )
    file = tmp_path / "config.txt"
    file.write_text(to_config_text(options), encoding="utf-8")
    assert parse(["--config", str(file)]) == options


def test_every_setting_is_described():
    for setting in all_settings().values():
        story = setting.metadata
        assert story["group"] in all_groups() and story["help"], setting.name
        assert setting.default is not None or story["absent"] or story["paper"] is not None, setting.name
        assert setting.name not in REFUSED


def test_help_names_every_flag_with_its_default_and_unit(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert ended.value.code == 0
    assert all(f"--{setting.name} " in text for setting in all_settings().values())
    assert (
        "-w, --white_bkg, --white_bkgd [True|False] the same as" in text and "--opt_level, --opt_mode none|native|O1|O2" in text
    )
    assert "where the image is 2 wide [NDC; recipe paper: 0.015]" in text
    assert "[default: auto]" in text and "examples: python main.py --dataname demo" in text


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ("", "no scene was named"),
        ("--dataname", "--dataname: expected one argument"),
        ("--dataname x --data-r 0.1", "--data-r is not a flag of this program: did you mean --data_r?"),
        ("--dataname x --splat 0.1", "--splat is not a flag"),  # no abbreviations
        ("--dataname x --qqq", "--help lists all flags"),
        ("--dataname x stray", "not understood: stray"),
        ("--dataname x -q", "not understood: -q"),
        ("--dataname x -v", "-v has no meaning here: --render_normal --prop_normal shows"),
        ("--dataname x -sb", "-b has no meaning here"),
        ("--dataname x --decay_step 9", "--decay_step has no meaning here: each --field has its own course"),
        ("--dataname x -w maybe", "--white_bkgd: 'maybe' is neither True nor False"),
        ("--dataname x --nerf_net_width a", "--netwidth: 'a' is not a whole number (--nerf_net_width is --netwidth here)"),
        (
            "--dataname x --nerf_net_width 1",
            "--netwidth 1 is out of range: give a number of at least 2 and at most 16384 (--nerf_net_w",
        ),
        ("--dataname x -s --opt_mode none", "--opt_mode none and --mixed_precision True contradict each other"),
        ("--dataname x --opt_level fast", "--opt_mode fast is not known: choose one of none, native, O1, O2"),
        ("--dataname x --center_crop_x .3", "--center_crop_x 0.3 and --center_crop_y 0.5 differ"),
        ("--dataname x --center_crop_x 2 --center_crop_y 2", "--precrop_frac 2.0 is out of range"),
        ("--dataname x --img_scale 2", "--img_scale 2 is neither 1 nor 0.5"),
        ("--dataname x --img_scale .5 --img_s 40", "--img_scale 0.5 and --img_s 40 contradict each other"),
        ("--dataname x --near -1", "--near -1.0 is out of range: give a number of at least 0"),
        ("--dataname x --near 3 --far 3", "--near 3.0 is not before --far 3.0"),
        ("--dataname x --near 0 --lindisp", "--near 0 has no inverse depth"),
        ("--dataname x --field grid --near 2", "--near applies only to --field mlp or mip (this run uses grid)"),
        ("--dataname x --method points --grad_clip 1", "--grad_clip applies only to --method nerf"),
        ("--dataname x --prop_normal", "--prop_normal is about --render_normal"),
        (
            "--dataname x --prop_normal --render_normal --sampler occupancy",
            "--prop_normal shows proposals, which this run has none",
        ),
        ("--dataname x --prop_normal --render_normal --field voxels", "--prop_normal shows proposals, which this run has none"),
        (
            "--dataname x --prop_normal --render_normal --radiance_calls 8",
            "--prop_normal shows proposals, which this run has none",
        ),
        ("--dataname x --method points --N_samples 64", "--N_samples applies only to --method nerf (this run uses points)"),
        ("--dataname x --i_weights 10h", "--i_weights 10h: give a number of steps, 500, or of minutes, 10m"),
        ("--dataname x --i_weights 0m", "--i_weights 0m: give a number of steps"),
        ("--dataname x --method points --N_iters 100", "--N_iters applies only to --method nerf (this run uses points)"),
        ("--dataname x --data_r .1 --N_iters 100", "--data_r applies only to --method points (this run uses nerf)"),
        ("--dataname x --field grid --lindisp", "--lindisp applies only to --field mlp or mip (this run uses grid)"),
        ("--dataname x --field mip --rvs", "--rvs applies only to --field mlp (this run uses mip)"),
        ("--dataname x --field mip --N_rand 0", "--N_rand 0 lets the samples decide, which is not for --field mip"),
        ("--dataname x --field mip --radiance_calls 8", "--radiance_calls is not for --field mip: drop it"),
        (
            "--dataname x --field mip --distortion .1",
            "--distortion is for --field grid, voxels, and mip with --sampler proposals: drop it",
        ),
        ("--dataname x --field mip --multires 0", "--multires 0 leaves --field mip nothing to see"),
        ("--dataname x --method points --field mlp", "--field applies only to --method nerf"),
        ("--dataname x --field mlp --N_rand 0", "--N_rand 0 lets the samples decide"),
        ("--dataname x --N_samples 2", "--N_samples 2 is out of range"),
        ("--dataname x --perturb 2", "--perturb 2.0 is out of range"),
        ("--dataname x --render_factor 4", "--render_factor is a preview's size: give --render_only too"),
        ("--dataname x --method nerf --epochs 3", "--epochs applies only to --method points"),
        ("--dataname x --method nerf --recipe paper", "--recipe applies only to --method points"),
        ("--dataname x --method nerf --no_masks --maskdir masks", "--no_masks trains without masks"),
        ("--dataname x --method nerf --pc_jitter_amount .1", "--pc_jitter_amount applies only to --method points"),
        ("--dataname x --method nerf --posFirst YES", "--posFirst applies only to --method points"),
        ("--dataname x --chunk=4 --grey 1", "--grey has no meaning here"),
        ("--dataname x --data_r half", "--data_r: 'half' is not a number"),
        ("--dataname x --data_r nan", "--data_r nan is out of range"),
        ("--dataname x --data_r 0", "--data_r 0.0 is out of range: give a number above 0 and at most 1"),
        ("--dataname x --data_r 1.5", "--data_r 1.5 is out of range"),
        ("--dataname x --lr1 inf", "--lr1 inf is out of range"),
        ("--dataname x --lr1 -1", "--lr1 -1.0 is out of range"),
        ("--dataname x --lrexp 1.1", "--lrexp 1.1 is out of range"),
        ("--dataname x --seed 1.5", "--seed: '1.5' is not a whole number"),
        ("--dataname x --seed -1", "--seed -1 is out of range: give a number of at least 0"),
        ("--dataname x --testskip 0", "--testskip 0 is out of range"),
        ("--dataname x --img_s 3", "--img_s 3 is too small"),
        ("--dataname x --half_res --img_s 200", "--half_res and --img_s both set the image size"),
        ("--dataname x --half_res maybe", "--half_res: 'maybe' is neither True nor False"),
        ("--dataname x --device gpu", "--device gpu is not known: choose one of auto, cpu, cuda, vulkan"),
        ("--dataname x --recipe fast", "--recipe fast is not known"),
        ("--dataname x --dataset_type LINEMOD", "--dataset_type LINEMOD is not known: choose one of blender, demo, llff"),
        ("--dataname x --factor 4 --img_s 200", "--factor, --img_s and --half_res each set the image size"),
        ("--dataname x --factor 4 --half_res", "--factor, --img_s and --half_res each set the image size"),
        ("--dataname x --factor 0", "--factor 0 is out of range: give a number of at least 1 and at most 64"),
        ("--dataname x --llffhold 0", "--llffhold 0 is out of range: give a number of at least 2"),
        ("--dataname x --dataset_type demo", "--dataset_type demo is a built-in scene, not x"),
        ("--dataname x --resume --no_reload", "--resume continues a run and --no_reload starts one anew"),
        ("--dataname x --render_only --no_reload", "--render_only needs a model"),
        ("--dataname x --render_test", "--render_test says what --render_only renders"),
        ("--dataname x --basedir=", "--basedir '' is empty"),
        ("--config nowhere.txt", "--config: cannot open nowhere.txt (No such file or directory)"),
        ("--config a --config b", "--config is given twice"),
    ],
)
def test_mistakes_on_the_command_line(argv, words):
    assert words in refusal(*argv.split())


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("i_print = 64", "line 2: --i_print has no meaning here"),
        ("dataset_name = ship", "line 2: dataname is set a second time"),
        ("sample_ray_num", "line 2: sample_ray_num needs a value"),
        ("data_R = 0.1", "line 2: --data_R is not a flag of this program: did you mean --data_r?"),
        ("data_r = much", "--data_r: 'much' is not a number"),
        ("data_r = 7", "--data_r 7.0 is out of range"),
        ("data_r", "line 2: data_r needs a value"),
        ("data_r = [0.1, 0.2]", "line 2: data_r takes one value"),
        ("dataname = ship", "line 2: dataname is set a second time"),
        ("config = other.txt", "line 2: --config belongs on the command line"),
        ("help", "line 2: --help belongs on the command line"),
        ("= 3", "line 2: cannot read '= 3'"),
    ],
)
def test_mistakes_in_a_config_file(tmp_path, line, words):
    file = tmp_path / "bad.txt"
    file.write_text(f"dataname = lego\n{line}\n")
    assert words in refusal("--config", str(file))


def test_a_picture_is_not_a_config_file(tmp_path):
    file = tmp_path / "picture.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\xff\xfe")
    assert "is not a text file" in refusal("--config", str(file))


def test_options_made_in_code_are_checked_for_type_too():
    from settings.validation import validate

    with pytest.raises(InputError, match=r"--seed 1\.5 is not of type int"):
        validate(PointOptions(dataname="x", seed=1.5))
    with pytest.raises(InputError, match="--epochs True is not of type int"):
        validate(PointOptions(dataname="x", epochs=True))
    with pytest.raises(InputError, match="--lr2 nan"):
        validate(PointOptions(dataname="x", lr2=math.nan))
    validate(PointOptions(dataname="x", lr1=1))


def test_flags_choose_the_method_and_the_field():
    chosen = {
        words: parse(["--dataname", "x", *words.split()])
        for words in ("", "--N_iters 9", "--N_samples 64", "--field mlp", "--use_viewdirs", "-s", "--chunk 9", "--method nerf")
    }
    points, grid, mlp = ("points", None), ("nerf", "grid"), ("nerf", "mlp")
    assert [(o.method, getattr(o, "field", None)) for o in chosen.values()] == [points, grid, mlp, mlp, mlp, grid, grid, grid]
    assert chosen["--N_iters 9"].basedir == "./logs/x_nerf" and chosen["--N_samples 64"].basedir == "./logs/x_nerf_mlp"


def test_a_config_of_nerf_pytorch_is_understood(tmp_path):
    """As its users have it: names, spaces and numbers of its own lego.txt and fern.txt."""
    lego = """
        expname = blender_paper_lego\nbasedir = ./logs\ndatadir = ./data/nerf_synthetic/lego\ndataset_type = blender\n
        no_batching = True\n\nuse_viewdirs = True\nwhite_bkgd = True\nlrate_decay = 500\n\nN_samples = 64\nN_importance = 128
        N_rand = 1024\n\nprecrop_iters = 500\nprecrop_frac = 0.5\n\nhalf_res = True\n"""
    fern = """
        expname = fern_test\nbasedir = ./logs\ndatadir = ./data/nerf_llff_data/fern\ndataset_type = llff\n\nfactor = 8
        llffhold = 8\n\nN_rand = 1024\nN_samples = 64\nN_importance = 64\n\nuse_viewdirs = True\nraw_noise_std = 1e0\n"""
    for name, text in (("lego", lego), ("fern", fern)):
        (tmp_path / f"{name}.txt").write_text("\n".join(line.strip() for line in text.splitlines()))
    one, other = (parse(["--config", str(tmp_path / f"{name}.txt")]) for name in ("lego", "fern"))
    assert (one.method, one.field, one.N_importance, one.lrate_decay, one.half_res) == ("nerf", "mlp", 128, 500, True)
    assert (one.basedir, one.expname) == ("logs/blender_paper_lego", None)
    assert (other.method, other.field, other.raw_noise_std, other.factor) == ("nerf", "mlp", 1.0, 8)


def test_the_background_is_a_flag_whose_default_follows_the_protocol():
    assert parse(["--dataname", "x", "--background", "white"]).scene_background == "white"
    assert parse(["--dataname", "x", "--protocol", "standard", "--background", "black"]).scene_background == "black"
    assert "drop one of the two flags" in refusal("--dataname", "x", "--white_bkgd", "--background", "black")


def test_commands_of_enigmatisms_nerf_are_understood():
    ship = parse(["-w", "-s", "--opt_level", "O1", "--dataset_name", "ship"])
    assert (ship.method, ship.field, ship.dataname, ship.white_bkgd, ship.mixed_precision) == ("nerf", "grid", "ship", True, True)
    assert parse(["-ws", "--dataset_name", "ship"]) == parse(["--white_bkgd", "--mixed_precision", "--dataname", "ship"])
    line = "-s --grad_clip -0.01 --dataset_name helmet --render_depth --render_normal --prop_normal"
    helmet = parse(line.split())
    assert (helmet.grad_clip, helmet.render_depth, helmet.render_normal, helmet.prop_normal) == (-0.01, True, True, True)
    assert parse(["-l", "-r", "-e", "--load", "--dataset_name", "x"]) == parse(
        ["--resume", "--render_only", "--render_test", "--dataname", "x"]
    )
    assert parse(["-d", "--dataset_name", "x"]).no_reload
    line = (
        "--dataset_name x --sample_ray_num 9 --coarse_sample_pnum 8 --fine_sample_pnum 7 --center_crop_iter 6 --nerf_net_width 5"
    )
    networks = parse([*line.split(), "--center_crop_x", ".3", "--center_crop_y", ".3", "--near", "2", "--far", "6"])
    assert (networks.field, networks.N_rand, networks.N_samples, networks.N_importance) == ("mlp", 9, 8, 7)
    assert (networks.precrop_iters, networks.netwidth, networks.precrop_frac) == (6, 5, 0.3)
    assert (networks.near, networks.far) == (2, 6)
    for mode, mixed in (("none", False), ("native", True), ("O1", True), ("O2", True)):
        assert parse(["--dataset_name", "x", "--opt_mode", mode]).mixed_precision is mixed
    scales = [parse(["--dataset_name", "x", "--img_scale", scale]) for scale in ("1", "0.5")]
    assert [(options.img_s, options.half_res) for options in scales] == [(0, False), (None, True)]


def test_other_spellings_in_config_files_are_kept_under_the_main_names(tmp_path):
    file = tmp_path / "run.txt"
    file.write_text("dataset_name = ship\nwhite_bkg = True\nopt_level = none\ncenter_crop_x = .5\nimg_scale = .5\n")
    options = parse(["--config", str(file)])
    assert (options.dataname, options.white_bkgd, options.mixed_precision, options.half_res) == ("ship", True, False, True)
    text = to_config_text(options)
    assert "dataname = ship" in text and not any(word in text for word in ("dataset_name", "white_bkg ", "opt_", "img_scale"))
    line = parse(["--config", str(file), "--dataname", "mic", "-s", "--precrop_frac", ".7", "--img_s", "90"])
    assert (line.dataname, line.mixed_precision, line.precrop_frac) == ("mic", True, 0.7)  # the command line wins
    assert (line.img_s, line.half_res) == (90, False)
    file.write_text("dataname = ship\nmixed_precision = False\nhalf_res = True\n")
    line = parse(["--config", str(file), "--opt_mode", "O2", "--img_scale", "1"])
    assert (line.mixed_precision, line.img_s, line.half_res) == (True, 0, False)
