// A seed takes and gives back tens of thousands of small blocks. The C library keeps seven of a
// size at hand for a thread; here all of them stay at hand, until the program ends. Not part of
// builds with sanitizers, which look at every block.
#include <malloc.h>

#include <array>
#include <cstdlib>
#include <new>

namespace {

constexpr std::size_t step = 16, largest = 4096;

struct block {
  block* next;
};

/// By size: those at `i` have at least `i * step` bytes.
thread_local constinit std::array<block*, largest / step + 1> at_hand{};

}  // namespace

void* operator new(std::size_t size) {
  const std::size_t i = size == 0 ? 1 : (size + step - 1) / step;
  if (i < at_hand.size() && at_hand[i]) {
    block* const b = at_hand[i];
    at_hand[i] = b->next;
    return b;
  }
  if (void* const made = std::malloc(i * step)) return made;
  throw std::bad_alloc();
}

void operator delete(void* p) noexcept {
  if (!p) return;
  const std::size_t i = ::malloc_usable_size(p) / step;
  if (i >= at_hand.size()) return std::free(p);
  at_hand[i] = ::new (p) block{at_hand[i]};
}

void operator delete(void* p, std::size_t) noexcept {
  ::operator delete(p);
}
