# How this project compiles, and two functions that say what a folder is made of.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(bide_flags INTERFACE)
target_include_directories(bide_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(bide_flags INTERFACE _GNU_SOURCE BIDE_VERSION="${PROJECT_VERSION}")
target_compile_options(bide_flags INTERFACE
  -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
  -Wvla -Wswitch-enum -Wimplicit-fallthrough -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wformat=2
  -Wredundant-decls -Wnested-externs -fno-common -fno-strict-aliasing -fno-omit-frame-pointer)
if(BIDE_WERROR)
  target_compile_options(bide_flags INTERFACE -Werror)
endif()
if(BIDE_SANITIZE)
  target_compile_options(bide_flags INTERFACE -fsanitize=${BIDE_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(bide_flags INTERFACE -fsanitize=${BIDE_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(bide_flags INTERFACE -fstack-protector-strong -fstack-clash-protection -fcf-protection -fPIE)
  target_compile_definitions(bide_flags INTERFACE _FORTIFY_SOURCE=2)
  target_link_options(bide_flags INTERFACE -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()

# bide_library(name SOURCES a.c … DEPS lib …): a folder's static library with its explicit, downward links.
function(bide_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE bide_flags PUBLIC ${ARG_DEPS})
endfunction()

# bide_test(name SOURCES a_test.c … LIBS lib …): a cmocka program that CTest runs as unit.<name>.
function(bide_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  if(NOT BIDE_TESTS OR NOT CMOCKA_FOUND)
    return()
  endif()
  add_executable(${name}_test ${ARG_SOURCES})
  target_link_libraries(${name}_test PRIVATE bide_flags ${ARG_LIBS} PkgConfig::CMOCKA)
  add_test(NAME unit.${name} COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 120)
endfunction()

# bide_fuzz(name SOURCES a_fuzz.c … LIBS lib …): a libFuzzer program in the fuzz preset; in every other build a replayer
# that runs the committed corpus (test/fuzz/corpus/<name>) through the same function, as a CTest test.
function(bide_fuzz name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  if(NOT BIDE_TESTS)
    return()
  endif()
  if(BIDE_SANITIZE MATCHES "fuzzer")
    add_executable(${name}_fuzz ${ARG_SOURCES})
    target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(${name}_fuzz ${ARG_SOURCES} ${CMAKE_SOURCE_DIR}/test/fuzz/replay.c)
    add_test(NAME fuzz.${name} COMMAND ${name}_fuzz ${CMAKE_SOURCE_DIR}/test/fuzz/corpus/${name})
    set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 120)
  endif()
  target_link_libraries(${name}_fuzz PRIVATE bide_flags ${ARG_LIBS})
endfunction()
