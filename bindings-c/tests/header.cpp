// The header as C++ sees it: RAII over a handle compiles, links and runs.

#include <cstdio>
#include <memory>

#include "moorline.h"

struct Free {
  void operator()(moorline_handle *handle) const { moorline_free(handle); }
};

int main() {
  moorline_handle *raw = nullptr;
  const moorline_status status = moorline_open("beacon", "worker", nullptr, &raw);
  const std::unique_ptr<moorline_handle, Free> worker(raw);
  if (status != MOORLINE_OK || !worker) {
    std::fprintf(stderr, "%s: %s\n", moorline_error_name(status), moorline_last_error());
    return 1;
  }
  std::puts("header as C++: ok");
  return 0;
}
