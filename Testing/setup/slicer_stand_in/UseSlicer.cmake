# Installs what Slicer's macros of these names would, and knows no keyword but those that are used.

function(stand_in_install source_dir install_dir)
  foreach(file IN LISTS ARGN)
    get_filename_component(folder "${file}" DIRECTORY)
    if(NOT EXISTS "${source_dir}/${file}")
      message(FATAL_ERROR "There is no ${source_dir}/${file}")
    endif()
    install(FILES "${source_dir}/${file}" DESTINATION "${install_dir}/${folder}")
  endforeach()
endfunction()

function(stand_in_check name unknown)
  if(unknown)
    message(FATAL_ERROR "${name} got ${unknown}, which it doesn't know")
  endif()
endfunction()

function(ctkMacroCompilePythonScript)
  set(values TARGET_NAME SOURCE_DIR DESTINATION_DIR INSTALL_DIR)
  cmake_parse_arguments(PARSE_ARGV 0 its "NO_INSTALL_SUBDIR" "${values}" "SCRIPTS;RESOURCES")
  stand_in_check(ctkMacroCompilePythonScript "${its_UNPARSED_ARGUMENTS}")
  stand_in_install("${its_SOURCE_DIR}" "${its_INSTALL_DIR}" ${its_SCRIPTS} ${its_RESOURCES})
endfunction()

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(PARSE_ARGV 0 its "WITH_GENERIC_TESTS" "NAME" "SCRIPTS;RESOURCES")
  stand_in_check(slicerMacroBuildScriptedModule "${its_UNPARSED_ARGUMENTS}")
  stand_in_install("${CMAKE_CURRENT_SOURCE_DIR}" "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}"
    ${its_SCRIPTS} ${its_RESOURCES})
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(PARSE_ARGV 0 its "" "SCRIPT" "")
  stand_in_check(slicer_add_python_unittest "${its_UNPARSED_ARGUMENTS}")
  add_test(NAME "py_${its_SCRIPT}" COMMAND "Slicer" "--testing" "${CMAKE_CURRENT_SOURCE_DIR}/${its_SCRIPT}")
endfunction()

enable_testing()
