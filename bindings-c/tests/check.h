/* What the C tests share: checks that say what failed, and an event loop over several handles. */

#ifndef CHECK_H
#define CHECK_H

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "moorline.h"

#define CHECK(condition)                                                                       \
  do {                                                                                         \
    if (!(condition)) {                                                                        \
      fprintf(stderr, "%s:%d: %s is false; last error: %s\n", __FILE__, __LINE__, #condition, \
              moorline_last_error());                                                          \
      exit(1);                                                                                 \
    }                                                                                          \
  } while (0)

#define CHECK_STATUS(expected, call)                                                           \
  do {                                                                                         \
    moorline_status got = (call);                                                              \
    if (got != (expected)) {                                                                   \
      fprintf(stderr, "%s:%d: %s returned %s, not %s: %s\n", __FILE__, __LINE__, #call,        \
              moorline_error_name(got), moorline_error_name(expected), moorline_last_error()); \
      exit(1);                                                                                 \
    }                                                                                          \
  } while (0)

/* One handle in the event loop. */
struct seat {
  moorline_handle *handle;
  moorline_on_event on_event;
  int descriptor;
};

static inline void take_seat(struct seat *seat, const char *dialect, const char *role,
                             const char *options, moorline_on_event on_event) {
  CHECK_STATUS(MOORLINE_OK, moorline_open(dialect, role, options, &seat->handle));
  CHECK_STATUS(MOORLINE_OK, moorline_descriptor(seat->handle, &seat->descriptor));
  seat->on_event = on_event;
}

enum { MAX_SEATS = 4, PATIENCE_MS = 30000 };

/* Serves the seats until *done; a silence of PATIENCE_MS is a failure. */
static inline void serve(struct seat **seats, size_t count, const bool *done) {
  while (!*done) {
    struct pollfd descriptors[MAX_SEATS];
    CHECK(count <= MAX_SEATS);
    for (size_t i = 0; i < count; i++) {
      descriptors[i].fd = seats[i]->descriptor;
      descriptors[i].events = POLLIN;
    }
    CHECK(poll(descriptors, (nfds_t)count, PATIENCE_MS) > 0);
    for (size_t i = 0; i < count; i++) {
      if (descriptors[i].revents != 0) {
        CHECK_STATUS(MOORLINE_OK,
                     moorline_drain(seats[i]->handle, seats[i]->on_event, seats[i], NULL));
      }
    }
  }
}

/* Hands over a turn of commands, written like printf. */
static inline void submit(const struct seat *seat, const char *format, ...) {
  char turn[1024];
  va_list values;
  va_start(values, format);
  int len = vsnprintf(turn, sizeof turn, format, values);
  va_end(values);
  CHECK(len > 0 && (size_t)len < sizeof turn);
  CHECK_STATUS(MOORLINE_OK, moorline_submit(seat->handle, turn, (size_t)len));
}

static inline bool is_text(moorline_text text, const char *expected) {
  return text.len == strlen(expected) && memcmp(text.data, expected, text.len) == 0;
}

static inline bool has_text(moorline_text text, const char *part) {
  size_t len = strlen(part);
  for (size_t at = 0; at + len <= text.len; at++) {
    if (memcmp(text.data + at, part, len) == 0) {
      return true;
    }
  }
  return false;
}

#endif
