"""An import contract that import-linter lacks: these modules may import nothing but what is listed.

The shipped `forbidden` contract needs the names of everything that is not allowed; a new dependency would pass until somebody
remembered to list it. This one is closed: the standard library less `except_stdlib`, the listed packages, and the package itself.
Direct imports only: what a listed package imports in turn is judged by the contract that stands over that package.
"""

from __future__ import annotations

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """Modules under `source` may import only `allowed`, themselves, and the standard library less `except_stdlib`."""

    type_name = "only"

    source = fields.StringField()
    allowed = fields.SetField(subfield=fields.StringField(), required=False, default=set())
    except_stdlib = fields.SetField(subfield=fields.StringField(), required=False, default=set())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:  # noqa: ARG002, FBT001 - import-linter's signature
        """Return every direct import that is not on the list."""
        source = str(self.source)
        excepted = cast("set[str]", self.except_stdlib)
        unknown = excepted - sys.stdlib_module_names
        if unknown or source not in graph.modules:
            message = f"contract names what does not exist: {sorted(unknown) or source}"
            raise ValueError(message)
        permitted = {source, *cast("set[str]", self.allowed)}
        standard = sys.stdlib_module_names - excepted
        found = []
        for importer in sorted({source, *graph.find_descendants(source)}):
            for imported in sorted(graph.find_modules_directly_imported_by(importer)):
                if imported in standard or any(imported == name or imported.startswith(f"{name}.") for name in permitted):
                    continue
                details = graph.get_import_details(importer=importer, imported=imported)
                lines = sorted({detail["line_number"] for detail in details})
                found.append(f"{importer} -> {imported} (l.{', '.join(map(str, lines))})")
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each import that is not on the list."""
        for line in check.metadata["found"]:
            output.print_error(f"- {line}", bold=False)
        output.new_line()
