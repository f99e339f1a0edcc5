# Moorline for CMake: find_package(moorline) and link moorline::moorline, or moorline::static.
get_filename_component(_moorline_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
if(NOT TARGET moorline::moorline)
  add_library(moorline::moorline SHARED IMPORTED)
  set_target_properties(moorline::moorline PROPERTIES
    IMPORTED_LOCATION "${_moorline_prefix}/lib/libmoorline.so"
    IMPORTED_SONAME "libmoorline.so.0"
    INTERFACE_INCLUDE_DIRECTORIES "${_moorline_prefix}/include")
  add_library(moorline::static STATIC IMPORTED)
  set_target_properties(moorline::static PROPERTIES
    IMPORTED_LOCATION "${_moorline_prefix}/lib/libmoorline.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_moorline_prefix}/include"
    INTERFACE_LINK_LIBRARIES "gcc_s;util;rt;pthread;m;dl")
endif()
unset(_moorline_prefix)
