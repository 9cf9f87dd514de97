# find_package(epode CONFIG) gives epode::epode, the shared library where there is one, and epode::static, the static one.
#
# Installed by cargo-c as share/cmake/epode; the folders are found from there, so that an installation can be moved.
get_filename_component(_epode_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(_epode_folders lib lib64)
if(CMAKE_LIBRARY_ARCHITECTURE)
    list(APPEND _epode_folders "lib/${CMAKE_LIBRARY_ARCHITECTURE}")
endif()

find_path(EPODE_INCLUDE_DIR epode.h HINTS "${_epode_prefix}" PATH_SUFFIXES include NO_DEFAULT_PATH)
find_library(EPODE_SHARED_LIBRARY NAMES "${CMAKE_SHARED_LIBRARY_PREFIX}epode${CMAKE_SHARED_LIBRARY_SUFFIX}" HINTS "${_epode_prefix}"
    PATH_SUFFIXES ${_epode_folders} NO_DEFAULT_PATH)
find_library(EPODE_STATIC_LIBRARY NAMES "${CMAKE_STATIC_LIBRARY_PREFIX}epode${CMAKE_STATIC_LIBRARY_SUFFIX}" HINTS "${_epode_prefix}"
    PATH_SUFFIXES ${_epode_folders} NO_DEFAULT_PATH)
mark_as_advanced(EPODE_INCLUDE_DIR EPODE_SHARED_LIBRARY EPODE_STATIC_LIBRARY)

if(NOT EPODE_INCLUDE_DIR OR NOT (EPODE_SHARED_LIBRARY OR EPODE_STATIC_LIBRARY))
    set(epode_FOUND FALSE)
    set(epode_NOT_FOUND_MESSAGE "epode's header or library is not below ${_epode_prefix}: install it again with cargo cinstall")
    return()
endif()

if(EPODE_STATIC_LIBRARY AND NOT TARGET epode::static)
    # What Rust's standard library needs of the system.
    find_package(Threads REQUIRED)
    add_library(epode::static STATIC IMPORTED)
    set_target_properties(epode::static PROPERTIES
        IMPORTED_LOCATION "${EPODE_STATIC_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${EPODE_INCLUDE_DIR}"
        IMPORTED_LINK_INTERFACE_LANGUAGES C
        INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};$<$<PLATFORM_ID:Linux>:m;gcc_s>")
endif()
if(NOT TARGET epode::epode)
    if(EPODE_SHARED_LIBRARY)
        add_library(epode::epode SHARED IMPORTED)
        set_target_properties(epode::epode PROPERTIES
            IMPORTED_LOCATION "${EPODE_SHARED_LIBRARY}"
            INTERFACE_INCLUDE_DIRECTORIES "${EPODE_INCLUDE_DIR}")
    else()
        add_library(epode::epode ALIAS epode::static)
    endif()
endif()
