"""Which directory of /opt belongs to a program, and what stays out of sight there."""

from __future__ import annotations

import pytest
from support.fakes import DIR, HOME, SOURCE, Entry, Link, Shown, hook_call, host, make_plan
from support.planning import python_at, venv_at

from isolated_hooks.plan.toolchains import CREDENTIAL_NAMES, named_paths, toolchain
from isolated_hooks.policy import Policy
from isolated_hooks.sandbox.operations import Cover

GCC = "/opt/rh/gcc-toolset-13"
ROCM = "/opt/rocm-6.0.0"
ONEAPI = "/opt/intel/oneapi"
TOOLCHAINS: dict[str, Entry] = {
    f"{GCC}/root/usr/bin/gcc": "",
    f"{GCC}/root/usr/lib/gcc/x86_64-redhat-linux/13/cc1": "",
    f"{GCC}/enable": "",
    "/opt/rh/other/secret": "",
    "/opt/rocm": Link("/etc/alternatives/rocm"),
    "/etc/alternatives/rocm": Link(ROCM),
    f"{ROCM}/bin/hipcc": "",
    f"{ROCM}/llvm/bin/clang": "",
    f"{ROCM}/amdgcn/bitcode/x.bc": "",
    f"{ONEAPI}/compiler/2024.0/bin/icx": "",
    f"{ONEAPI}/compiler/latest": Link("2024.0"),
    f"{ONEAPI}/tbb/2021.1/lib/libtbb.so": "",
    "/opt/cuda/lib64/libcudart.so": "",
    "/opt/nvidia/hpc_sdk/Linux_x86_64/24.1/compilers/bin/nvc": "",
    "/opt/builds/a/tools/bin/tool": "",
    "/opt/builds/a/tools/lib/tool.so": "",
    "/opt/builds/b/secret": "",
    "/opt/actions-runner/bin/Runner": "",
    "/opt/actions-runner/.credentials": "",
    "/opt/actions-runner/externals/node20/bin/node": "",
    "/opt/hostedtoolcache/go/1.21/x64/bin/go": "",
    "/opt/hostedtoolcache/go/1.21/x64/src/x.go": "",
    "/opt/alone": "",
}


@pytest.mark.parametrize(
    ("path", "top"),
    [
        (f"{GCC}/root/usr/bin", GCC),
        (f"{ROCM}/bin", ROCM),
        (f"{ROCM}/llvm/bin/clang", ROCM),
        (f"{ONEAPI}/compiler/2024.0/bin", ONEAPI),
        ("/opt/cuda/lib64", "/opt/cuda"),
        ("/opt/nvidia/hpc_sdk/Linux_x86_64/24.1/compilers/bin", "/opt/nvidia/hpc_sdk"),
        ("/opt/builds/a/tools/bin", "/opt/builds/a/tools"),
        ("/opt/builds/a/tools", "/opt/builds/a/tools"),
        ("/opt/actions-runner/externals/node20/bin", "/opt/actions-runner/externals/node20"),
        ("/opt/hostedtoolcache/go/1.21/x64/bin/go", "/opt/hostedtoolcache/go/1.21/x64"),
        ("/opt/alone", "/opt/alone"),
        ("/opt", None),
        ("/usr/bin", None),
        ("/optional/bin", None),
    ],
)
def test_a_path_is_extended_to_the_top_of_its_toolchain(path: str, top: str | None) -> None:
    assert toolchain(host(TOOLCHAINS), path) == top


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ("-O2 -I/opt/a/include -L/opt/b/lib:/opt/c", ["/opt/a/include", "/opt/b/lib", "/opt/c"]),
        ('-DX="/opt/a/b";/opt/c/../d', ["/opt/a/b", "/opt/d"]),
        ("--sysroot=/opt/a", ["/opt/a"]),
        ("/usr/opt", []),
        ("/opt", []),
        ("", []),
    ],
)
def test_paths_are_found_in_values(value: str, paths: list[str]) -> None:
    assert list(named_paths(value)) == paths


def test_a_value_of_any_length_names_a_bounded_number_of_paths() -> None:
    assert len(list(named_paths("/opt/x " * 100_000))) == 256


def _look(*, path: str = "/usr/bin:/bin", more: dict[str, Entry] | None = None, **environ: str) -> Shown:
    files = host({**TOOLCHAINS, **(more or {})})
    variables = {"PATH": path, "HOME": HOME, **environ}
    return Shown(make_plan(files, environ=variables, started_with=variables).operations, files)


SECRETS = ("/opt/rh/other/secret", "/opt/builds/b/secret", "/opt/actions-runner/.credentials")


def test_nothing_of_opt_is_visible_without_a_reason() -> None:
    inside = _look()
    # update-alternatives(1) names ROCm.
    visible = [path for path in TOOLCHAINS if path.startswith("/opt/") and inside.reveals(path)]
    assert [path for path in visible if not path.startswith(ROCM)] == []


@pytest.mark.parametrize(
    ("variables", "visible"),
    [
        ({"path": f"{GCC}/root/usr/bin:/usr/bin"}, [f"{GCC}/root/usr/lib/gcc/x86_64-redhat-linux/13/cc1"]),
        ({"path": "/opt/rocm/bin"}, [f"{ROCM}/amdgcn/bitcode/x.bc", f"{ROCM}/llvm/bin/clang"]),
        ({"ROCM_PATH": "/opt/rocm"}, [f"{ROCM}/bin/hipcc"]),
        ({"CC": f"{ONEAPI}/compiler/latest/bin/icx -w"}, [f"{ONEAPI}/tbb/2021.1/lib/libtbb.so"]),
        ({"LD_LIBRARY_PATH": "/opt/cuda/lib64"}, ["/opt/cuda/lib64/libcudart.so"]),
        ({"CUDA_HOME": "/opt/cuda"}, ["/opt/cuda/lib64/libcudart.so"]),
        ({"CMAKE_PREFIX_PATH": "/opt/builds/a/tools"}, ["/opt/builds/a/tools/lib/tool.so"]),
        ({"LDFLAGS": "-L/opt/builds/a/tools/lib"}, ["/opt/builds/a/tools/lib/tool.so"]),
        ({"path": "/opt/actions-runner/externals/node20/bin"}, ["/opt/actions-runner/externals/node20/bin/node"]),
    ],
)
def test_a_toolchain_that_the_environment_names_is_visible(variables: dict[str, str], visible: list[str]) -> None:
    inside = _look(**variables)
    for path in visible:
        assert inside.origin(path) == path
    for secret in SECRETS:
        assert inside.reveals(secret) == []


def test_a_variable_that_the_hook_does_not_get_shows_nothing() -> None:
    inside = _look(MY_SECRET_DIR="/opt/builds/b", MYTOOL="/opt/builds/b")
    assert inside.reveals("/opt/builds/b/secret") == []


def test_a_program_of_the_system_that_is_a_link_to_opt_works() -> None:
    """manylinux has cmake in an environment of its own, and AMD's packages use update-alternatives(1)."""
    cmake = "/opt/_internal/pipx/venvs/cmake"
    more = {
        **venv_at(cmake, "/usr/bin/python3"),
        f"{cmake}/bin/cmake": "",
        "/usr/local/bin/cmake": Link(f"{cmake}/bin/cmake"),
        "/etc/alternatives/hipcc": Link(f"{ROCM}/bin/hipcc"),
        "/usr/bin/hipcc": Link("/etc/alternatives/hipcc"),
    }
    inside = _look(more=more)
    assert inside.origin(f"{cmake}/bin/cmake")
    assert inside.reveals(f"{cmake}/pip.conf") == []
    assert inside.origin(f"{ROCM}/amdgcn/bitcode/x.bc")


def test_libraries_that_the_system_loads_are_visible() -> None:
    more: dict[str, Entry] = {
        "/etc/ld.so.conf.d/oracle.conf": "# a comment\n/opt/oracle/client_21\n",
        "/opt/oracle/client_21/libclntsh.so": "",
        "/opt/oracle/other": "",
    }
    inside = _look(more=more)
    assert inside.origin("/opt/oracle/client_21/libclntsh.so")
    assert inside.reveals("/opt/oracle/other") == []


@pytest.mark.parametrize("name", sorted(CREDENTIAL_NAMES))
def test_configuration_with_credentials_is_covered(name: str) -> None:
    places = [f"/opt/tool/etc/{name}", f"/usr/local/etc/{name}", f"/usr/etc/{name}"]
    inside = _look(path="/opt/tool/bin", more={**dict.fromkeys(places, "secret"), "/opt/tool/bin/x": ""})
    assert inside.origin("/opt/tool/bin/x")
    for path in places:
        assert inside.reveals(path) == []
        assert isinstance(inside.at(path), Cover)


def test_configuration_beside_programs_and_in_environments_is_covered() -> None:
    more = {
        **venv_at("/srv/venv", "/usr/bin/python3"),
        "/srv/venv/etc/npmrc": "secret",
        "/srv/venv/etc/jupyter/x": "",
        "/srv/tools/prog": "",
        "/srv/tools/.env": "secret",
        "/opt/flat/prog": "",
        "/opt/flat/.netrc": "secret",
        "/usr/lib/node_modules/npm/npmrc": "secret",
    }
    inside = _look(path="/srv/venv/bin:/srv/tools:/opt/flat", more=more)
    for path in ("/srv/tools/prog", "/opt/flat/prog", "/srv/venv/etc/jupyter/x"):
        assert inside.origin(path) == path
    for path, text in more.items():
        if text == "secret":
            assert inside.reveals(path) == [], path


@pytest.mark.parametrize("prefix", ["/usr", "/usr/local"])
def test_the_site_configuration_of_pip_is_covered(prefix: str) -> None:
    """sys.prefix/pip.conf, as of a Python in /usr/local in many images."""
    assert _look(more={f"{prefix}/pip.conf": "secret"}).reveals(f"{prefix}/pip.conf") == []


def test_environments_in_opt_show_their_own_entries_only() -> None:
    more = {
        **venv_at("/opt/venv", "/usr/bin/python3"),
        **python_at("/opt/conda"),
        "/opt/conda/conda-meta/history": "",
        "/opt/conda/.condarc": "secret",
        "/opt/conda/envs/other/secret": "",
        "/opt/conda/condabin/conda": "",
    }
    inside = _look(path="/opt/venv/bin:/opt/conda/condabin:/opt/conda/bin", more=more)
    assert inside.origin("/opt/venv/lib/python3.12/site-packages/x.py")
    assert inside.origin("/opt/conda/condabin/conda")
    assert inside.origin("/opt/conda/lib/python3.12/os.py")
    for path in ("/opt/venv/pip.conf", "/opt/venv/.env", "/opt/conda/.condarc", "/opt/conda/envs/other/secret"):
        assert inside.reveals(path) == []


def test_a_home_or_a_source_tree_in_opt_is_no_toolchain() -> None:
    more: dict[str, Entry] = {
        "/opt/u/.ssh/id": "",
        "/opt/u/bin/x": "",
        "/opt/u/proj/dist": DIR,
        "/opt/u/proj/bin/x": "",
        "/opt/u/other/secret": "",
    }
    files = host({**TOOLCHAINS, **more})
    variables = {"PATH": "/opt/u/bin:/opt/u/proj/bin", "CC": "/opt/u/bin/x", "CXX": "/opt/u/proj/bin/x"}
    call = hook_call(source_dir="/opt/u/proj")
    inside = Shown(make_plan(files, call=call, home="/opt/u", environ=variables).operations, files)
    assert inside.origin("/opt/u/bin/x")
    assert inside.writable("/opt/u/proj/bin/x")
    assert inside.reveals("/opt/u/.ssh/id") == inside.reveals("/opt/u/other/secret") == []


def test_a_link_in_the_tree_names_no_toolchain() -> None:
    files = host({**TOOLCHAINS, f"{SOURCE}/cc": Link("/opt/builds/b")})
    variables = {"PATH": "/usr/bin", "CC": f"{SOURCE}/cc", "CXX": "/opt/link/x"}
    inside = Shown(make_plan(files, environ=variables).operations, files)
    assert inside.reveals("/opt/builds/b/secret") == []


def test_explain_prints_the_reason() -> None:
    files = host(TOOLCHAINS)
    variables = {"PATH": "/opt/rocm/bin", "HOME": HOME, "CUDA_HOME": "/opt/cuda"}
    plan = make_plan(files, environ=variables, started_with=variables, policy=Policy(expose=["/opt/builds/a/tools"]))
    lines = list(plan.describe())
    for expected in (f"{ROCM} (PATH)", "/opt/cuda (CUDA_HOME)", "/opt/builds/a/tools (expose)"):
        assert any(line.endswith(expected) for line in lines), expected
    beyond = [line for line in lines if line.startswith("  read-") and "(" not in line and "from" not in line]
    assert [line for line in beyond if not line.split()[-1].startswith(("/usr", "/etc", "/sys", "/tmp,"))] == [
        line for line in beyond if "empty, together" in line
    ]
