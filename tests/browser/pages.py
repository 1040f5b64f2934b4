"""What several widgets' tests ask of a page."""


def controls(page, root: str) -> list[tuple[str, str]]:
    """Role and name, as a screen reader gets them, of what the keyboard reaches below a selector."""
    client = page.context.new_cdp_session(page)
    client.send("Accessibility.enable")
    found = client.send("Runtime.evaluate", {"expression": f"document.querySelector('{root}')"})
    asked = {"objectId": found["result"]["objectId"]}
    nodes = client.send("Accessibility.queryAXTree", asked)["nodes"]

    def focusable(node):
        properties = node.get("properties", [])
        return any(p["name"] == "focusable" and p["value"]["value"] for p in properties)

    return [
        (node["role"]["value"], node["name"]["value"])
        for node in nodes
        if not node["ignored"] and focusable(node)
    ]


def cut_off(page, root: str) -> list[str]:
    """The controls and pictures below a selector that reach over its right edge."""
    return page.evaluate(
        """(selector) => {
            const root = document.querySelector(selector), edge = root.getBoundingClientRect().right;
            return [...root.querySelectorAll('button, canvas, input, select, .value, .key span')]
                .filter((e) => e.getBoundingClientRect().right > edge + 1).map((e) => e.outerHTML.slice(0, 80)); }""",
        root,
    )
