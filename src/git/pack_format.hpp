// The bytes of packs and of their indexes, version 2 of each (gitformat-pack(5)).
#pragma once

#include <git2.h>
#include <openssl/evp.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <remora/git/oid.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace remora::git {

/// SHA-1 of bytes as they come, by the processor's own instructions where it has them; libgit2
/// hashes whole objects only.
class sha1 {
 public:
  sha1();
  void add(std::string_view bytes);
  oid finish();

 private:
  struct freed {
    void operator()(EVP_MD_CTX* context) const { ::EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, freed> context_;
};

/// To which an object's bytes are added: then it is the object's id.
sha1 begin_object(git_object_t type, std::uint64_t size);
oid hash_object(git_object_t type, std::string_view bytes);

/// Numbers are big-endian in all of git's binary files.
template <class Number>
Number read_number(std::string_view bytes, std::size_t at) {
  Number n = 0;
  for (std::size_t i = 0; i < sizeof n; ++i)
    n = static_cast<Number>(n << 8 | static_cast<unsigned char>(bytes[at + i]));
  return n;
}

template <class Number>
void append_number(std::string& to, Number n) {
  for (std::size_t i = sizeof n; i-- > 0;) to += static_cast<char>(n >> (8 * i));
}

std::string_view bytes_of(const oid& id);

constexpr std::uint64_t pack_head_bytes = 12;
constexpr std::uint64_t pack_trailer_bytes = 20;

std::string pack_head(std::uint32_t objects);

/// What comes before an object's deflated bytes: its type and its size.
std::string entry_head(git_object_t type, std::uint64_t size);

struct entry_start {
  git_object_t type{};
  std::uint64_t size = 0;  ///< of what is deflated: the object, or its difference to the base
  std::uint32_t bytes = 0;
  std::optional<oid> base;  ///< of `GIT_OBJECT_REF_DELTA`
};

constexpr std::size_t most_entry_head = 10 + 20;  ///< type and size, and a base

/// Of the first bytes of an entry, `most_entry_head` or all. Nothing for a difference to a place in
/// the pack: we write none.
std::optional<entry_start> read_entry_head(std::string_view bytes);

struct packed_object {
  oid id;
  std::uint64_t offset = 0;
  std::uint32_t crc = 0;  ///< of the entry's bytes as they are in the pack
};

/// The whole index file of a pack with this trailer.
std::string pack_index(std::vector<packed_object> objects, const oid& trailer);

/// Whether the index names `id`; a few reads. A file that does not read as one names nothing.
bool pack_index_names(int index, const oid& id);

struct indexed_pack {
  std::vector<packed_object> objects;  ///< sorted by offset
  oid trailer;                         ///< of the pack
};

/// What an index says. Errors: errno; errc::corrupt (it does not check out).
result<indexed_pack> read_pack_index(const std::filesystem::path& index);

}  // namespace remora::git
