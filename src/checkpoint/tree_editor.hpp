// Builds a tree from paths, on top of trees that are there already: what is not touched is reused
// by its id and never read.
#pragma once

#include <map>
#include <remora/git/object_writer.hpp>

namespace remora::checkpoint {

class tree_editor {
 public:
  explicit tree_editor(const git::repository& repo) : repo_(repo) {}

  /// Adds `path`; nothing that is there is ever replaced. With git::mode::directory `id` is a tree,
  /// below which more can be added. False: there is something else already, or git cannot hold it.
  /// Errors: errc::corrupt (a tree that is there cannot be read).
  result<bool> add(std::string_view path, const git::oid& id, git::mode mode = git::mode::file);

  /// Writes the trees that changed; their root's id.
  result<git::oid> write(git::object_writer& objects) const;

 private:
  struct directory;
  struct entry {
    git::oid id;
    git::mode mode{};
    std::unique_ptr<directory> opened;  ///< then `id` is out of date
  };
  struct directory {
    std::map<std::string, entry, std::less<>> entries;
  };

  /// The directory `name` of `in`, made or read.
  result<directory*> open(directory& in, std::string_view name);
  static result<git::oid> write(const directory& d, git::object_writer& objects);

  const git::repository& repo_;
  directory root_;
};

}  // namespace remora::checkpoint
