from conan import ConanFile
from conan.tools.cmake import CMakeDeps, CMakeToolchain

# Of Boost only what cmake/dependencies.cmake and the tests ask for, with what that stands on.
BOOST_UNUSED = (
    "chrono context contract coroutine date_time fiber graph iostreams locale log math nowide "
    "program_options random regex serialization stacktrace thread timer type_erasure url wave"
)


class Remora(ConanFile):
    """The libraries of remora, for machines without Debian's packages. See README.md beside it."""

    settings = "os", "arch", "compiler", "build_type"
    requires = (
        "boost/1.83.0",
        "cli11/2.4.2",
        "fmt/10.2.1",
        "libgit2/1.9.1",
        "openssl/3.3.2",
        "yaml-cpp/0.8.0",
        "zlib/1.3.1",
    )
    default_options = {
        "boost/*:shared": True,  # the tests link Boost.Test dynamically
        **{f"boost/*:without_{name}": True for name in BOOST_UNUSED.split()},
        "libgit2/*:with_libssh2": False,  # what goes over a network is done by a child git
        "libgit2/*:with_https": False,
    }

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        toolchain.user_presets_path = False  # the presets are ours
        toolchain.generate()
