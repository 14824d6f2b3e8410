if (navigator.clipboard) {
  for (const part of document.querySelectorAll("[data-copy]")) {
    const tools = document.createElement("p");
    const button = document.createElement("button");
    const said = document.createElement("span");
    tools.className = "tools";
    button.type = "button";
    button.textContent = part.dataset.copy;
    said.setAttribute("role", "status");
    button.addEventListener("click", () =>
      navigator.clipboard.writeText(part.innerText.trim()).then(
        () => (said.textContent = " Copied."),
        () => (said.textContent = " The browser did not allow it: select the text and copy it."),
      ),
    );
    tools.append(button, said);
    part.after(tools);
  }
}
