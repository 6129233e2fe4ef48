#include "git/pending_objects.hpp"

#include "git/repository_impl.hpp"

namespace remora::git {

pending_objects::pending_objects(repository& repo)
    : directory_(repo.common_dir() / "objects" / "pack"), view_(repo.inside().pending) {}

void pending_objects::drop() {
  view_->pack = nullptr;
  pack_.reset();
}

result<void> pending_objects::open() {
  if (pack_) return {};
  REMORA_TRY(new_pack made, new_pack::begin(directory_));
  pack_.emplace(std::move(made));
  view_->pack = &*pack_;
  return {};
}

result<void> pending_objects::write(const oid& id, std::string_view bytes, git_object_t type) {
  REMORA_CHECK(open());
  return pack_->add(id, type, bytes);
}

result<oid> pending_objects::write_file(int fd, std::uint64_t size,
                                        const std::function<bool(const oid&)>& wanted) {
  REMORA_CHECK(open());
  return pack_->add_file(fd, size, wanted);
}

result<std::uint64_t> pending_objects::settle() {
  if (!pack_ || pack_->size() == 0) {
    drop();
    return 0;
  }
  auto published = pack_->publish();
  drop();
  if (!published) return published.error();
  return published->bytes;
}

}  // namespace remora::git
