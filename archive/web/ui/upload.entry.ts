import "./upload.css";
import "./upload";
