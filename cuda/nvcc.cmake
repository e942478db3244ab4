# SPDX-License-Identifier: BSD-3-Clause
# The CUDA compiler: CUDACXX, then that of the packages of the building Python, then that in PATH.

set(OLDEST_NVCC 13.0)
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  # Compute capability 8.0 has the products of bf16. The virtual one is for devices that come later.
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100-real 120-real 100-virtual)
endif()

# Sets what enable_language(CUDA) needs, CUDA_INCLUDE and CUDA_RUNTIME; or `why_not` to the reason why there is no
# compiler that can be used.
macro(find_nvcc why_not)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
"import os, pathlib, shutil, sys, sysconfig
folders = map(pathlib.Path, [sysconfig.get_path('purelib'), *sys.path])
found = [str(nvcc) for folder in folders if (nvcc := folder / 'nvidia/cu13/bin/nvcc').is_file()]
print(os.environ.get('CUDACXX') or next(iter(found), None) or shutil.which('nvcc') or '')"
    OUTPUT_VARIABLE NVCC OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  set(${why_not} "")
  if(NVCC)
    examine_nvcc(${why_not})
  else()
    set(${why_not} "there is no nvcc: pip install 'cuda-toolkit[nvcc,cudart]==13.0.*', or set CUDACXX")
  endif()
  if(NOT ${why_not})
    set(CMAKE_CUDA_COMPILER "${NVCC}")
    set(CMAKE_CUDA_HOST_COMPILER "${CMAKE_CXX_COMPILER}")
    set(CMAKE_CUDA_FLAGS_INIT "${NVCC_FLAGS}")
  endif()
endmacro()

# Sets NVCC to the program itself, where PATH may have a script, and why_not if it is too old or does not work.
function(examine_nvcc why_not)
  execute_process(COMMAND "${NVCC}" --version OUTPUT_VARIABLE version ERROR_QUIET RESULT_VARIABLE failed)
  string(REGEX MATCH "release [0-9]+\\.[0-9]+, V([0-9.]+)" ignored "${version}")
  set(version "${CMAKE_MATCH_1}")
  if(failed OR NOT version)
    set(${why_not} "${NVCC} does not tell its version" PARENT_SCOPE)
    return()
  elseif(version VERSION_LESS OLDEST_NVCC)
    set(${why_not} "${NVCC} is of version ${version}, and ${OLDEST_NVCC} is needed" PARENT_SCOPE)
    return()
  endif()

  execute_process(COMMAND "${NVCC}" --dryrun -x cu -c /dev/null -o /dev/null ERROR_VARIABLE dryrun OUTPUT_QUIET)
  string(REGEX MATCH "#\\$ TOP=([^\n]+)" ignored "${dryrun}")
  get_filename_component(home "${CMAKE_MATCH_1}" REALPATH)
  set(targets "targets/${CMAKE_SYSTEM_PROCESSOR}-linux" targets/sbsa-linux)
  list(TRANSFORM targets APPEND /include OUTPUT_VARIABLE includes)
  list(TRANSFORM targets APPEND /lib OUTPUT_VARIABLE libraries)
  find_path(CUDA_INCLUDE cuda_runtime_api.h PATHS "${home}" PATH_SUFFIXES include ${includes} NO_CACHE NO_DEFAULT_PATH)
  find_file(CUDA_RUNTIME libcudart_static.a PATHS "${home}" PATH_SUFFIXES lib lib64 ${libraries}
            NO_CACHE NO_DEFAULT_PATH)
  if(NOT CUDA_INCLUDE OR NOT CUDA_RUNTIME)
    set(${why_not} "${home} has no cuda_runtime_api.h or no libcudart_static.a" PARENT_SCOPE)
    return()
  endif()

  # nvcc would look in lib64 alone.
  get_filename_component(folder "${CUDA_RUNTIME}" DIRECTORY)
  set(flags "-L${folder}")
  set(trial "${CMAKE_CURRENT_BINARY_DIR}/trial")
  file(WRITE "${trial}.cu" "__global__ void nothing() {}\nint main() { nothing<<<1, 1>>>(); }\n")
  execute_process(
    COMMAND "${NVCC}" -std=c++20 -ccbin "${CMAKE_CXX_COMPILER}" ${flags} -arch=sm_80 "${trial}.cu" -o "${trial}"
    OUTPUT_VARIABLE said ERROR_VARIABLE said RESULT_VARIABLE failed)
  if(failed)
    string(REGEX MATCH "[^\n]*error[^\n]*" said "${said}")
    set(${why_not} "${NVCC} does not compile with ${CMAKE_CXX_COMPILER}: ${said}" PARENT_SCOPE)
    return()
  endif()
  set(NVCC "${home}/bin/nvcc" PARENT_SCOPE)
  set(NVCC_VERSION "${version}" PARENT_SCOPE)
  set(NVCC_FLAGS "${flags}" PARENT_SCOPE)
  set(CUDA_INCLUDE "${CUDA_INCLUDE}" PARENT_SCOPE)
  set(CUDA_RUNTIME "${CUDA_RUNTIME}" PARENT_SCOPE)
endfunction()
