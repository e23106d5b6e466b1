# The library `bundle` without its runtime, which the CMakeLists.txt that includes this file links to
# it, and the programs where this is the whole project.
find_package(nlohmann_json 3 QUIET)
find_package(OpenSSL QUIET) # its SHA-256
if(NOT nlohmann_json_FOUND)
  message(FATAL_ERROR "nlohmann/json 3 is not found. Debian: apt-get install nlohmann-json3-dev")
elseif(NOT OPENSSL_FOUND)
  message(FATAL_ERROR "OpenSSL is not found. Debian: apt-get install libssl-dev")
endif()

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR AND NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()

add_library(bundle STATIC tensor.cpp bundle.cpp runtime.cpp)
target_compile_features(bundle PUBLIC cxx_std_17)
target_compile_options(bundle PRIVATE -Wall -Wextra)
target_include_directories(bundle PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
target_link_libraries(bundle PUBLIC nlohmann_json::nlohmann_json PRIVATE OpenSSL::Crypto)

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
  foreach(program replay example)
    add_executable(${program} ${program}.cpp program.cpp)
    target_compile_options(${program} PRIVATE -Wall -Wextra)
    target_link_libraries(${program} PRIVATE bundle)
  endforeach()
endif()
