# RDKit has a CMake package only where it was built by hand or by conda; Debian's has none. Sets
# RDKit_FOUND, RDKit_INCLUDE_DIRS and RDKit_LIBRARIES, those that reading SMILES needs.
include(FindPackageHandleStandardArgs)

find_path(RDKit_INCLUDE_DIR GraphMol/SmilesParse/SmilesParse.h PATH_SUFFIXES rdkit)
# RDKit's headers include Boost's, which librdkit-dev does not depend on.
find_path(RDKit_BOOST_INCLUDE_DIR boost/iostreams/tee.hpp)
set(variables RDKit_INCLUDE_DIR RDKit_BOOST_INCLUDE_DIR)
foreach(library SmilesParse GraphMol RDGeneral)
  find_library(RDKit_${library}_LIBRARY RDKit${library})
  list(APPEND variables RDKit_${library}_LIBRARY)
endforeach()
find_package_handle_standard_args(RDKit REQUIRED_VARS ${variables})

set(RDKit_INCLUDE_DIRS ${RDKit_INCLUDE_DIR} ${RDKit_BOOST_INCLUDE_DIR})
set(RDKit_LIBRARIES ${RDKit_SmilesParse_LIBRARY} ${RDKit_GraphMol_LIBRARY}
                    ${RDKit_RDGeneral_LIBRARY})
mark_as_advanced(${variables})
